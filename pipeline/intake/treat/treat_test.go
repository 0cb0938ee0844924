package treat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const whole = `{"sender":"Ann","sender_type":"twitch","receiver":"me","receiver_type":"twitch","title":"Pizza","message":"hi","date_created":"2026-07-16 21:00:00"}`

// show prints a treat's fields, one quoted or "-" each.
func show(t Treat) string {
	parts := make([]string, len(t.fields))
	for i, f := range t.fields {
		parts[i] = "-"
		if f != nil {
			parts[i] = fmt.Sprintf("%q", *f)
		}
	}
	return strings.Join(parts, " ")
}

func TestDecodeTreats(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
		err      string
	}{
		{"whole", whole, []string{`"Ann" "twitch" "me" "twitch" "Pizza" "hi" "2026-07-16 21:00:00"`}, ""},
		{"only a title", `{"title":"Tea"}`, []string{`- - - - "Tea" - -`}, ""},
		{"nulls", `{"sender":null,"title":"Tea","message":null}`, []string{`- - - - "Tea" - -`}, ""},
		{"numbers and booleans for texts", `{"sender":42,"title":7.50,"message":true}`, []string{`"42" - - - "7.50" "true" -`}, ""},
		{"a large number keeps its digits", `{"title":12345678901234567890}`, []string{`- - - - "12345678901234567890" - -`}, ""},
		{"unknown keys", `{"title":"Tea","amount":5,"x":{"y":[1]}}`, []string{`- - - - "Tea" - -`}, ""},
		{"other letter case is another key", `{"Title":"Tea","sender":"Ann"}`, []string{`"Ann" - - - - - -`}, ""},
		{"array around the object", `[{"title":"Tea"}]`, []string{`- - - - "Tea" - -`}, ""},
		{"two treats in an array", `[{"title":"Tea"},{"title":"Pie"}]`, []string{`- - - - "Tea" - -`, `- - - - "Pie" - -`}, ""},
		{"encoded twice", `"{\"title\":\"Tea\"}"`, []string{`- - - - "Tea" - -`}, ""},
		{"a field that is an object", `{"title":"Tea","message":{"text":"hi"}}`, []string{`- - - - "Tea" - -`}, ""},
		{
			"a date of PHP", `{"title":"Tea","date_created":{"date":"2026-07-16 21:00:00.000000","timezone_type":3,"timezone":"UTC"}}`,
			[]string{`- - - - "Tea" - "2026-07-16 21:00:00.000000 UTC"`},
			"",
		},
		{"a date of PHP without a zone", `{"title":"Tea","date_created":{"date":"2026-07-16 21:00:00"}}`, []string{`- - - - "Tea" - "2026-07-16 21:00:00"`}, ""},
		{"another object for a date", `{"title":"Tea","date_created":{"$date":{"x":1}}}`, []string{`- - - - "Tea" - -`}, ""},
		{"a date that is a number", `{"title":"Tea","date_created":1784235600}`, []string{`- - - - "Tea" - "1784235600"`}, ""},
		{"white space around", " \n{\"title\":\"Tea\"} ", []string{`- - - - "Tea" - -`}, ""},
		{"emoji and U+2028", `{"title":"🍕\u2028\ud83c\udf55"}`, []string{`- - - - "🍕\u2028🍕" - -`}, ""},
		{"a lone surrogate", `{"title":"a\ud83cb"}`, []string{"- - - - \"a\ufffdb\" - -"}, ""},
		{"in an object", `{"data":{"title":"Tea"}}`, []string{`- - - - "Tea" - -`}, ""},
		{"in an object of another name, with more", `{"id":7,"ok":true,"to":"me","treat":{"title":"Tea"}}`, []string{`- - - - "Tea" - -`}, ""},
		{"in an object, several", `{"data":[{"title":"Tea"},{"title":"Pie"}]}`, []string{`- - - - "Tea" - -`, `- - - - "Pie" - -`}, ""},
		{"in an object, as a text", `{"data":"{\"title\":\"Tea\"}"}`, []string{`- - - - "Tea" - -`}, ""},
		{"in two objects in an array", `[{"event":{"data":{"title":"Tea"}}}]`, []string{`- - - - "Tea" - -`}, ""},
		{"in an object with words of its own", `{"message":"success","title":"New treat","data":{"sender":"Ann","title":"Tea"}}`, []string{`"Ann" - - - "Tea" - -`}, ""},
		{"an object beside a sender", `{"sender":"Ann","title":"Tea","user":{"sender":"x","title":"Mrs"}}`, []string{`"Ann" - - - "Tea" - -`}, ""},
		{"an object beside a date", `{"title":"Tea","date_created":"2026-07-16 21:00:00","x":{"sender":"x","title":"y"}}`, []string{`- - - - "Tea" - "2026-07-16 21:00:00"`}, ""},
		{"an object beside a title", `{"title":"Tea","x":{"title":"y"}}`, []string{`- - - - "Tea" - -`}, ""},
		{"a viewer who writes JSON", `{"title":"Tea","message":"{\"sender\":\"Bob\",\"title\":\"Car\"}"}`, []string{`- - - - "Tea" "{\"sender\":\"Bob\",\"title\":\"Car\"}" -`}, ""},
		{"a text with a byte order mark", `" \ufeff {\"title\":\"Tea\"}"`, []string{`- - - - "Tea" - -`}, ""},
		{"encoded three times", `"\"{\\\"title\\\":\\\"Tea\\\"}\""`, []string{`- - - - "Tea" - -`}, ""},
		{"a buffer", `"eyJ0aXRsZSI6IlRlYSJ9"`, []string{`- - - - "Tea" - -`}, ""},
		{"a buffer as JSON", `{"type":"Buffer","data":[123,34,116,105,116,108,101,34,58,34,84,101,97,34,125]}`, []string{`- - - - "Tea" - -`}, ""},
		{"one good, one bad", `[{"title":"Tea"},5]`, []string{`- - - - "Tea" - -`}, "a number instead of an object"},

		{"nothing", ``, nil, "no payload"},
		{"null", `null`, nil, "null instead of an object"},
		{"a string", `"hello"`, nil, "a plain string"},
		{"a number", `-5`, nil, "a number instead"},
		{"a boolean", `true`, nil, "a boolean instead"},
		{"an empty object", `{}`, nil, "no usable sender, title or message"},
		{"a buffer of something else", `"AAECAw=="`, nil, "a plain string"},
		{"a buffer as JSON, of something else", `{"type":"Buffer","data":[1,2,300]}`, nil, "no usable sender"},
		{"many numbers", "[" + strings.Repeat("1,", 1000) + "1]", nil, "not a treat: a number instead of an object"},
		{"wrapped in too many objects", `{"a":{"a":{"a":{"a":{"a":{"title":"Tea"}}}}}}`, nil, "no usable sender"},
		{"only unknown keys", `{"a":1}`, nil, "no usable sender"},
		{"only blanks", `{"title":"  ","message":""}`, nil, "no usable sender"},
		{"an empty array", `[]`, nil, "an empty array"},
		{"cut off", `{"title":"Te`, nil, "invalid JSON object"},
		{"no JSON", `hello`, nil, "no JSON instead"},
		{"wrapped too often", `[[[[[[{"title":"Tea"}]]]]]]`, nil, "wrapped more than"},
		{"very deep", strings.Repeat(`{"title":`, 20000), nil, "invalid JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			treats, err := decodeTreats(json.RawMessage(tt.in))
			var got []string
			for _, tr := range treats {
				got = append(got, show(tr))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("treats (-want +got):\n%s", diff)
			}
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("error %v, want none", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}
