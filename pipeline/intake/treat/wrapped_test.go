package treat

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestDecode reads the arguments of one event.
func TestDecode(t *testing.T) {
	const tea, pie = `{"title":"Tea"}`, `{"title":"Pie"}`
	for name, test := range map[string]struct {
		args   []string
		titles []string
		left   []string // payload and reason
	}{
		"one":                      {[]string{tea}, []string{"Tea"}, nil},
		"two":                      {[]string{tea, pie}, []string{"Tea", "Pie"}, nil},
		"the same twice":           {[]string{tea, tea}, []string{"Tea", "Tea"}, nil},
		"an id":                    {[]string{`17`, tea}, []string{"Tea"}, nil},
		"an id that is a text":     {[]string{`"5f1c"`, tea}, []string{"Tea"}, nil},
		"null":                     {[]string{`null`, tea}, []string{"Tea"}, nil},
		"flags and empty things":   {[]string{`true`, tea, `{}`, `[ ]`, `""`}, []string{"Tea"}, nil},
		"wrapped":                  {[]string{`{"data":` + tea + `}`, `[` + pie + `]`}, []string{"Tea", "Pie"}, nil},
		"as text and Buffer":       {[]string{`"{\"title\":\"Tea\"}"`, `"eyJ0aXRsZSI6IlRlYSJ9"`}, []string{"Tea", "Tea"}, nil},
		"an object beside a treat": {[]string{tea, `{"name":"Car"}`}, []string{"Tea"}, []string{`{"name":"Car"} no usable`}},
		"a broken text beside":     {[]string{`"{\"title"`, tea}, []string{"Tea"}, []string{`"{\"title" invalid JSON object`}},
		"an id alone":              {[]string{`17`}, nil, []string{`17 a number`}},
		"an id and null":           {[]string{`17`, `null`}, nil, []string{`[17,null] a number`}},
		"two objects":              {[]string{`{"a":1}`, `{"b":2}`}, nil, []string{`[{"a":1},{"b":2}] no usable`}},
		"nothing":                  {nil, nil, []string{` no payload`}},
	} {
		var args []json.RawMessage
		for _, arg := range test.args {
			args = append(args, json.RawMessage(arg))
		}
		treats, left := Decode(args)
		var titles []string
		for _, tr := range treats {
			titles = append(titles, *tr.fields[4])
		}
		if !slices.Equal(titles, test.titles) {
			t.Errorf("%s: treats %q, want %q", name, titles, test.titles)
		}
		if !slices.EqualFunc(left, test.left, func(got Leftover, want string) bool {
			reason, ok := strings.CutPrefix(want, string(got.Payload)+" ")
			return ok && strings.Contains(got.Why.Error(), reason)
		}) {
			t.Errorf("%s: left %v, want %q", name, left, test.left)
		}
	}
}
