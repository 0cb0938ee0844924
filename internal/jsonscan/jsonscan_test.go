package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// The scanner takes what encoding/json takes, refuses what it refuses, and finds the same members.
func FuzzMembers(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":1,"a":2}`, `{"a\u0062":"x"}`, `{"a":"\ud83c\udf55","b":"\ud83c"}`, "{\"a\":\"\xff\"}", `{"a":[1,[2,{"b":null}]],"c":true,"d":false}`,
		`{"a":-0.5e+10}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`, `{"a":"` + "\n" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`,
		`{"a":1}x`, `{"a":[1,]}`, `{"a":[`, `{"a":"`, `{"a":"\`, `{"a":nullx}`, `[]`, `null`, ``, `{"":0}`, "{\"a\":\"\x7f\u2028\"}", `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(text, &want) == nil && want != nil
		got := make(map[string]json.RawMessage)
		if ok := jsonscan.Members(text, func(key, value []byte) {
			name := jsonscan.Unquote(key)
			if !jsonscan.IsText(key, name) {
				t.Errorf("%s is not the text %q", key, name)
			}
			got[name] = value
			if value[0] != '"' {
				return
			}
			var text string
			if err := json.Unmarshal(value, &text); err != nil || jsonscan.Unquote(value) != text {
				t.Errorf("%s is the text %q, want %q, %v", value, jsonscan.Unquote(value), text, err)
			}
		}); ok != valid {
			t.Fatalf("%q is an object: %v, want %v", text, ok, valid)
		}
		if valid && !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	})
}

func TestMembersOfDeepValues(t *testing.T) {
	for _, depth := range []int{9_998, 9_999, 10_000, 10_001, 3_000_000} {
		for _, brackets := range []string{"[]", `{"b":}`} {
			open, end := brackets[:len(brackets)-1], brackets[len(brackets)-1:]
			text := []byte(`{"a":` + strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth) + "}")
			if got := jsonscan.Members(text, func([]byte, []byte) {}); got != json.Valid(text) {
				t.Errorf("%d times %s is an object: %v, want %v", depth, brackets, got, !got)
			}
		}
	}
}

// Elements finds what encoding/json finds.
func FuzzElements(f *testing.F) {
	for _, text := range []string{`[]`, ` [ ] `, `["a",{"b":[1]},null]`, `[1,]`, `[,]`, `[1 2]`, `[1]x`, `{}`, `[[[]]]`, `["\"]`, `[` + "\x00" + `]`, ``} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want []json.RawMessage
		valid := json.Unmarshal(text, &want) == nil && want != nil
		got := []json.RawMessage{}
		if ok := jsonscan.Elements(text, func(value []byte) { got = append(got, value) }); ok != valid {
			t.Fatalf("%q is an array: %v, want %v", text, ok, valid)
		}
		if valid && !cmp.Equal(got, want) {
			t.Fatal(cmp.Diff(want, got))
		}
	})
}
