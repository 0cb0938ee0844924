package treat

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// portables are values that are no JSON to some parser, and what is passed on for each.
func portables() map[string]struct{ in, out string } {
	long := strings.Repeat("7", 5000) // more digits than Python reads
	deep := func(n int, inner string) string { return strings.Repeat("[", n) + inner + strings.Repeat("]", n) }
	return map[string]struct{ in, out string }{
		"nothing to replace":         {`{"a":[1,-2.5e3,true,null,"é🍕\n\/"]}`, `{"a":[1,-2.5e3,true,null,"é🍕\n\/"]}`},
		"half a pair, the first":     {`"\ud83c pizza"`, `"` + "\ufffd" + ` pizza"`},
		"half a pair, the second":    {`"pizza \uDF55"`, `"pizza ` + "\ufffd" + `"`},
		"two firsts":                 {`"\ud83c\ud83c\udf55"`, `"` + "\ufffd" + `🍕"`},
		"pairs the wrong way round":  {`"\udf55\ud83c"`, `"` + "\ufffd\ufffd" + `"`},
		"a whole pair":               {`"\ud83c\udf55"`, `"🍕"`},
		"a NUL":                      {`"a\u0000b"`, `"a\u0000b"`},
		"what HTML would escape":     {`"\u003cb\u003e & co"`, `"<b> & co"`},
		"no UTF-8":                   {"\"caf\xe9\"", `"caf` + "\ufffd" + `"`},
		"half a pair in a key":       {`{"\ud83c":1}`, `{"` + "\ufffd" + `":1}`},
		"too large a number":         {`1e999`, `"1e999"`},
		"too large a number, below":  {`-1E+999`, `"-1E+999"`},
		"just large enough":          {`1.7976931348623157e308`, `1.7976931348623157e308`},
		"just too large":             {`1.8e308`, `"1.8e308"`},
		"too small a number":         {`1e-999`, `"1e-999"`},
		"a huge exponent":            {`1e99999999999999999999`, `"1e99999999999999999999"`},
		"a huge exponent of nothing": {`0e1000000000`, `"0e1000000000"`},
		"long digits":                {long, `"` + long + `"`},
		"digits beyond 2^53":         {`9007199254740993`, `9007199254740993`},
		"minus zero":                 {`-0`, `-0`},
		"minus zero with a point":    {`-0.0e-0`, `-0.0e-0`},
		"members of one name":        {`{"a":1,"b":2,"a":{"a":3}}`, `{"a":{"a":3},"b":2}`},
		"members of one name, escaped": {
			`{"a":1,"\u0061":2}`, `{"a":2}`,
		},
		"members that come to have one name": {`{"\ud83c":1,"\ud83d":2}`, `{"` + "\ufffd" + `":2}`},
		"deep, but not too deep":             {deep(maxRawDepth-1, "7"), deep(maxRawDepth-1, "7")},
		"too deep":                           {deep(5000, "7"), deep(maxRawDepth-1, "null")},
		"blanks":                             {" [ 1 ,\t2 ] ", `[1,2]`},
	}
}

func TestPortable(t *testing.T) {
	parsers := map[string][]string{
		"jq":      {"jq", "-e", "."},
		"node":    {"node", "-e", `for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\n')) JSON.parse(line)`},
		"python3": {"python3", "-c", "import json, sys\ndef no(c): raise ValueError(c)\nfor line in sys.stdin.buffer: json.dumps(json.loads(line, parse_constant=no), allow_nan=False, ensure_ascii=False).encode()"},
	}
	var all bytes.Buffer
	for name, tt := range portables() {
		got := Portable(json.RawMessage(`{"title":"Tea", "extra":` + tt.in + `}`))
		if want := `{"title":"Tea","extra":` + tt.out + `}`; string(got) != want {
			t.Errorf("%s: raw is %.200s, want %.200s", name, got, want)
		}
		var decoded map[string]any // in which Go takes no number that is too large
		if err := json.Unmarshal(got, &decoded); err != nil || !utf8.Valid(got) {
			t.Errorf("%s: Go reads %v", name, err)
		}
		all.Write(append(got, '\n'))
	}
	for name, command := range parsers {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Stdin = bytes.NewReader(all.Bytes())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%.2000s", name, err, out)
		}
	}
}

// Whatever a valid object is, what becomes of it is valid, and stays as it is the next time.
func FuzzPortable(f *testing.F) {
	for _, one := range portables() {
		f.Add([]byte(one.in))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		got := Portable(text)
		var value any
		if err := json.Unmarshal(got, &value); err != nil || !utf8.Valid(got) {
			t.Fatalf("%v in %q", err, got)
		}
		if again := Portable(got); !bytes.Equal(again, got) {
			t.Errorf("%q becomes %q", got, again)
		}
	})
}
