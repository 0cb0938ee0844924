package historyhttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

func TestHistoryPageURL(t *testing.T) {
	token := secret.New("a/b+c")
	for name, tt := range map[string]struct {
		endpoint, next string
		want           string // empty: it is not asked for
	}{
		"by number":                    {"https://example.com/api", "", "https://example.com/api/a%2Fb+c?page=3"},
		"by number, with a query":      {"https://example.com/api?days=30", "", "https://example.com/api/a%2Fb+c?days=30&page=3"},
		"by number, token in a query":  {"https://example.com/api?t={access_token}", "", "https://example.com/api?page=3&t=a%2Fb%2Bc"},
		"as Laravel writes it":         {"https://example.com/api", "https://example.com/api/a%2Fb+c?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"behind a proxy without TLS":   {"https://example.com/api", "http://example.com/api/a%2Fb+c?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"the port is named":            {"https://example.com/api", "https://EXAMPLE.com:443/api/a%2Fb+c?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"without the token":            {"https://example.com/api", "https://example.com/internal?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"an old token":                 {"https://example.com/api", "https://example.com/api/old?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"a query only":                 {"https://example.com/api", "?page=2", "https://example.com/api/a%2Fb+c?page=2"},
		"a path":                       {"https://example.com/api", "/api/a%2Fb+c/2", "https://example.com/api/a%2Fb+c/2"},
		"a cursor":                     {"https://example.com/api?days=30", "https://example.com/api/a%2Fb+c?cursor=x%3D", "https://example.com/api/a%2Fb+c?cursor=x%3D&days=30"},
		"the token of a query is lost": {"https://example.com/api?t={access_token}", "https://example.com/api?page=2", "https://example.com/api?page=2&t=a%2Fb%2Bc"},
		"another token in a query":     {"https://example.com/api?t={access_token}", "https://example.com/api?page=2&t=old", "https://example.com/api?page=2&t=a%2Fb%2Bc"},
		"another host":                 {"https://example.com/api", "https://example.org/api/a%2Fb+c?page=2", ""},
		"another port":                 {"https://example.com/api", "https://example.com:8443/api/a%2Fb+c?page=2", ""},
		"no scheme":                    {"https://example.com/api", "//example.org/api?page=2", ""},
		"another scheme":               {"https://example.com/api", "file:///etc/passwd", ""},
		"a user":                       {"https://example.com/api", "https://example.com@example.org/?page=2", ""},
		"a path without the token":     {"https://example.com/api", "https://example.com/api/2", ""},
		"no URL":                       {"https://example.com/api", "https://exa mple.com:x/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := ParseURL(tt.endpoint)
			if err != nil {
				t.Fatal(err)
			}
			u, err := h.page(token, history.NextPage{URL: tt.next, Number: 3})
			switch {
			case tt.want == "" && !errors.Is(err, history.ErrPageElsewhere):
				t.Errorf("%v, error %v", u, err)
			case tt.want != "" && (err != nil || u.String() != tt.want):
				t.Errorf("%v, error %v, want %s", u, err, tt.want)
			}
		})
	}
}

// Each page is asked for as the first one is: with the token, which may be renewed between them, and again after an outage.
func TestHistoryPages(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"page":"`+r.URL.Query().Get("page")+`"}`)
	}
	l := newLibrary(t, page, refuses(503), page, refuses(401), page)
	reply, err := l.source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := reply.Close(); err != nil {
			t.Error(err)
		}
	}()
	paged := reply.(history.Paged)
	var got []string
	for _, next := range []history.NextPage{{}, {Number: 2}, {URL: l.server.URL + "/api/" + url.PathEscape(tokenOf(1)) + "?page=3", Number: 3}} {
		if next.Number > 0 {
			if err := paged.Next(t.Context(), next); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(reply)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{`{"page":""}`, `{"page":"2"}`, `{"page":"3"}`}
	whole := make([]byte, len(strings.Join(want, "")))
	if _, err := reply.ReadAt(whole, 0); err != nil || string(whole) != strings.Join(want, "") || strings.Join(got, "") != string(whole) {
		t.Errorf("pages %s, in all %s, error %v", got, whole, err)
	}
	if tokens, refreshes := l.seen(); len(tokens) != 5 || refreshes != 1 || tokens[4] != tokenOf(2) {
		t.Errorf("%d refreshes, tokens %q", refreshes, tokens)
	}
	if err := paged.Next(t.Context(), history.NextPage{URL: "https://example.org/api?page=4", Number: 4}); !errors.Is(err, history.ErrPageElsewhere) {
		t.Errorf("a page at another host: error %v", err)
	}
}

// A page that leads to another host by a redirect is not followed, and nor are its pages beyond the limit: neither gets the token, nor do they
// cost what was read before.
func TestHistoryPagesWithinBounds(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("another host is asked for %s", r.URL.Path) }))
	defer elsewhere.Close()
	l := newLibrary(t, says(`{"data":[]}`), refuses(302, "Location", elsewhere.URL+"/api/"), says(strings.Repeat(" ", 100)))
	l.source.limit = 100
	reply, err := l.source.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Close() }() // it was only read
	paged := reply.(history.Paged)
	if err := paged.Next(t.Context(), history.NextPage{Number: 2}); err == nil || !strings.Contains(err.Error(), "HTTP 302") {
		t.Errorf("a redirect: error %v", err)
	}
	if err := paged.Next(t.Context(), history.NextPage{Number: 3}); !errors.Is(err, history.ErrPagesTooLarge) {
		t.Errorf("a page that is too large: error %v", err)
	}
	for _, next := range []string{elsewhere.URL + "/api/x?page=4", strings.Replace(elsewhere.URL, "http:", "", 1) + "/?page=4"} {
		if err := paged.Next(t.Context(), history.NextPage{URL: next, Number: 4}); !errors.Is(err, history.ErrPageElsewhere) {
			t.Errorf("a page at %s: error %v", next, err)
		}
	}
	first := make([]byte, len(`{"data":[]}`))
	if _, err := reply.ReadAt(first, 0); err != nil || string(first) != `{"data":[]}` {
		t.Errorf("the first page is %q then, error %v", first, err)
	}
}
