package text

import (
	"strings"
	"testing"
	"time"
)

func TestInstant(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.Local)
	for line, want := range map[string]time.Time{
		"":                     {},
		"36h":                  now.Add(-36 * time.Hour),
		"7d":                   now.AddDate(0, 0, -7),
		"2026-07-16T21:00:00Z": time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC),
		"2026-07-01":           time.Date(2026, 7, 1, 0, 0, 0, 0, time.Local),
		"2026-07-01 12:30":     time.Date(2026, 7, 1, 12, 30, 0, 0, time.Local),
	} {
		if got, err := ParseTime(line, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"yesterday", "-1h", "d", "12"} {
		if got, err := ParseTime(line, now); err == nil {
			t.Errorf("%q is %v", line, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got, want := Printable("a\x1b[31mb\n\tc\u202e ö"), "a\ufffd[31mb  c\ufffd ö"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestCell(t *testing.T) {
	line := "🍕 \x1b[31m\n1234567890"
	if got, want := Cell(&line, 10), "🍕 \ufffd[31m 1…"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Cell(nil, 10); got != "-" {
		t.Errorf("%q", got)
	}
}

func TestSuggest(t *testing.T) {
	valid := []string{"accounts", "url", "url_file", "secret", "client_secret"}
	for word, want := range map[string]string{
		"ulr": `did you mean "url"?`, "Accounts": `did you mean "accounts"?`, "urlfile": `did you mean "url_file"?`,
		"client-secret": `did you mean "client_secret"?`, "x": "known: accounts, url, url_file, secret, client_secret",
		"": "known: accounts, url, url_file, secret, client_secret", "secretly": `did you mean "secret"?`,
		strings.Repeat("url", 100_000): "known: accounts, url, url_file, secret, client_secret",
	} {
		if got := Suggest(word, valid); got != want {
			t.Errorf("suggest(%.20q) = %s, want %s", word, got, want)
		}
	}
}
