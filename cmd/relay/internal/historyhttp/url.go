package historyhttp

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/treatrelay/relay/internal/secret"
)

// tokenPlace stands for the access token in endpoints.history.
const tokenPlace = "{access_token}"

// A URL is the URL of an account's history. The token replaces tokenPlace in the path and the query; without a tokenPlace, it is appended to the path
// as a segment.
type URL struct {
	base  *url.URL
	path  string // as it is sent, with tokenPlace in it
	query string // likewise
}

// ParseURL parses endpoints.history. Its errors do not quote it.
func ParseURL(text string) (*URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("want a URL such as https://HOST/PATH")
	}
	encoded := regexp.MustCompile(`%7[Bb]access_token%7[Dd]`) // as a browser writes it
	h := &URL{base: u, path: encoded.ReplaceAllLiteralString(u.EscapedPath(), tokenPlace), query: encoded.ReplaceAllLiteralString(u.RawQuery, tokenPlace)}
	rest := strings.ToUpper(strings.ReplaceAll(h.path+"?"+h.query, tokenPlace, ""))
	for _, brace := range []string{"{", "}", "%7B", "%7D"} {
		if strings.Contains(rest, brace) {
			return nil, errors.New("the access token goes where {access_token} stands, spelled like this; take other braces out")
		}
	}
	if !strings.Contains(h.path+h.query, tokenPlace) {
		h.path = strings.TrimSuffix(h.path, "/") + "/" + tokenPlace
	}
	return h, nil
}

// with returns the URL with a token in it.
func (h *URL) with(token secret.String) *url.URL {
	u := *h.base
	u.RawPath = strings.ReplaceAll(h.path, tokenPlace, url.PathEscape(token.Reveal()))
	u.Path, _ = url.PathUnescape(u.RawPath) // it was parsed
	u.RawQuery = strings.ReplaceAll(h.query, tokenPlace, url.QueryEscape(token.Reveal()))
	return &u
}
