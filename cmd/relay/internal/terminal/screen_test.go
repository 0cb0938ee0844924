package terminal

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "",
		"Pizza 🍕, ä\t\n":        "Pizza 🍕, ä\t\n",
		"\x1b[31m\x07\x08\x7f":  `\u001b[31m\u0007\u0008\u007f`,
		"\u0085\u009b2J\u009d":  `\u0085\u009b2J\u009d`,
		"a\u202eb\u2066c\u200f": `a\u202eb\u2066c\u200f`,
		"\u061c\u2028\ufeff":    `\u061c\u2028\ufeff`,
		"\x9b2J":                `\ufffd2J`,
		"a\rb":                  `a\u000db`,
		"a\r\n":                 "a\r\n",
		"👨\u200d👩\u200d👧":       "👨\u200d👩\u200d👧",
		"\xf0\x9f":              "",
	} {
		if got, _ := Visible([]byte(text)); string(got) != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\u202e\x9b\x1b", 3)
	f.Fuzz(func(t *testing.T, text string, at int) {
		whole, _ := Visible([]byte(text))
		for _, r := range string(whole) {
			if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%U is left of %q", r, text)
			}
		}
		if line, err := json.Marshal(text); err == nil { // what JSON says stays the same
			shown, _ := Visible(line)
			var was, is string
			if err := json.Unmarshal(line, &was); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(shown, &is); err != nil || is != was {
				t.Fatalf("%q is shown as %s (%v)", was, shown, err)
			}
		}
		if at < 0 || at > len(text) || strings.Contains(text, "\r") {
			return
		}
		first, rest := Visible([]byte(text[:at])) // written in two pieces
		second, _ := Visible(append(append([]byte(nil), rest...), text[at:]...))
		if string(first)+string(second) != string(whole) {
			t.Fatalf("%q in two pieces becomes %q%q, want %q", text, first, second, whole)
		}
	})
}
