package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
)

func TestNothingPrintsASecret(t *testing.T) {
	const text = "sup3r-s3cret-token"
	s := secret.New(text)
	type holder struct {
		Token secret.String `json:"token"`
		Ptr   *secret.String
		inner secret.String // fmt calls no methods here.
		deep  []map[string]secret.String
	}
	h := holder{s, &s, s, []map[string]secret.String{{"x": s}}}
	js, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(js), s.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, &s))
	}
	printed = append(printed, fmt.Errorf("token %v is bad", s).Error())
	for _, p := range printed {
		if strings.Contains(p, text) || strings.Contains(p, fmt.Sprintf("%x", text)) {
			t.Errorf("the secret shows in %q", p)
		}
	}
	if s.Reveal() != text {
		t.Errorf("Reveal = %q, want the text", s.Reveal())
	}
}

func TestComparing(t *testing.T) {
	a, again := secret.New("a"), secret.New("a")
	if a != again || a == secret.New("b") || secret.New("") != (secret.String{}) {
		t.Error("== does not compare the texts")
	}
	var s secret.String
	if !s.Empty() || s.Reveal() != "" || s.String() != "" {
		t.Error("the zero value is not empty")
	}
	if err := json.Unmarshal([]byte(`"abc"`), &s); err != nil || s != secret.New("abc") {
		t.Errorf("%q, %v", s.Reveal(), err)
	}
}

func TestScrub(t *testing.T) {
	got := secret.Scrub("GET /api/abcd1234?x=abcd1234: a", secret.New("abcd1234"), secret.New("a"), secret.New(""))
	if want := "GET /api/[redacted]?x=[redacted]: a"; got != want {
		t.Errorf("Scrub = %q, want %q", got, want)
	}
}
