package reply

import (
	"encoding/json"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
)

// OneLine makes foreign text safe for an error: one line without control characters, at most 200 bytes plus an
// ellipsis.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = text[:200]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
		text += "..."
	}
	return text
}

// Cleaner returns a function that removes all of these secrets from a text, in plain, URL-escaped and JSON-escaped
// form.
func Cleaner(secrets map[string]secret.String) func(string) string {
	var forms []secret.String
	for _, s := range secrets {
		text := s.Reveal()
		quoted, _ := json.Marshal(text) //nolint:errchkjson // A string cannot fail to encode.
		forms = append(forms, s, secret.New(url.QueryEscape(text)), secret.New(url.PathEscape(text)),
			secret.New(strings.Trim(string(quoted), `"`)))
	}
	return func(text string) string { return secret.Scrub(text, forms...) }
}
