package nats

import (
	"testing"

	"github.com/treatrelay/relay/pipeline"
)

func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		defaultSubject:            "treats.>",
		"bots":                    "bots",
		"bots.{account}":          "bots.*",
		"a.x-{account}.b":         "a.*.b",
		"a.{provider}{account}.b": "a.*.b",
	} {
		if got := streamSubject(subject); got != want {
			t.Errorf("streamSubject(%q) = %q, want %q", subject, got, want)
		}
	}
	for account, fits := range map[string]bool{
		"mystream": true, "my-stream_2": true, "": false, "a.b": false, "*": false, ">": false, "a b": false, "a\n": false,
	} {
		got, err := expand(defaultSubject, pipeline.Record{Provider: "p", Account: account})
		if (err == nil) != fits || fits && got != "treats.p."+account {
			t.Errorf("expand with %q = %q, %v", account, got, err)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"treats.>", "treats.>", true},
		{"treats.>", "treats.*.*", true},
		{"treats.>", "treats.a", true},
		{"treats.>", "treats", false},
		{">", "treats.>", true},
		{"*.>", "treats.>", true},
		{"treats.*.*", "treats.*.*", true},
		{"treats.*.*", "treats.a.*", true},
		{"treats.*.*", "treats.>", false},
		{"treats.*.*", "treats.*", false},
		{"treats.*", "treats.*.*", false},
		{"treats.a.*", "treats.*.*", false},
		{"treats.*.>", "treats.>", false},
		{"treats", "treats", true},
		{"treats", "other", false},
	} {
		if got := covers(c.outer, c.inner); got != c.want {
			t.Errorf("covers(%q, %q) = %v, want %v", c.outer, c.inner, got, c.want)
		}
	}
}
