package login

import (
	"strings"
	"testing"
)

func FuzzParsePasted(f *testing.F) {
	f.Add("http://localhost:8919/?code=abc&state=def")
	f.Add("?code=abc&state=def#frag")
	f.Add(`"code=abc&state=def"`)
	f.Add("%zz")
	f.Fuzz(func(t *testing.T, text string) {
		query, problem := parsePasted(text)
		if (problem == "") != (query != nil) {
			t.Errorf("query %v with the problem %q", query, problem)
		}
		if problem == "" && !query.Has("state") && !query.Has("code") && !query.Has("error") {
			t.Error("nothing of a login's reply")
		}
	})
}

func TestParsePasted(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:8919/back?code=c%2B1&state=s1": "c+1",
		"http://localhost:8919/back?state=s1&code=c1#x":  "c1",
		"  'http://localhost/?code=c1&state=s1'  ":       "c1",
		"<http://localhost/?code=c1&state=s1>":           "c1",
		"?code=c1&state=s1":                              "c1",
		"code=c1&state=s1":                               "c1",
		// Raw, as providers send what they do not escape.
		"http://localhost/?code=a+b&state=s1":        "a+b",
		"http://localhost/?code=a;b&state=s1":        "a;b",
		"http://localhost/?code=a;b;c=d&state=s1":    "a;b;c=d",
		"http://localhost/?code=a%b&state=s1":        "a%b",
		"http://localhost/?code=100%&state=s1":       "100%",
		"http://localhost/?code=%&state=s1":          "%",
		"http://localhost/?code=a%zzb&state=s1":      "a%zzb",
		"http://localhost/?code=a/b=&state=s1":       "a/b=",
		"http://localhost/?code=4%2F0A%2Bx&state=s1": "4/0A+x",
		"http://localhost/?&&code=c1&&state=s1&":     "c1",
	} {
		query, problem := parsePasted(text)
		if problem != "" || query.Get("code") != want || query.Get("state") != "s1" {
			t.Errorf("%q: %v, %q", text, query, problem)
		}
	}
	for _, text := range []string{"canary", "http://localhost:8919/", "http://localhost:8919/?canary", "?a;b&canary;x", "%zz"} {
		if query, problem := parsePasted(text); problem == "" || strings.Contains(problem, "canary") {
			t.Errorf("%q: %v, %q", text, query, problem)
		}
	}
}
