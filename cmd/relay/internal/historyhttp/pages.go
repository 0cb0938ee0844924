package historyhttp

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/intake/history"
)

// pagedReply is an answer, to which further pages are appended.
type pagedReply struct {
	*spool
	source *Source
}

// Next implements [history.Paged].
func (r *pagedReply) Next(ctx context.Context, p history.NextPage) error {
	return r.source.fetch(ctx, r, p)
}

// page returns the URL of a page, with the token in it. The zero page is the first. Whatever the provider's answer names as the next page, scheme and
// host are those of the endpoint: the token is sent nowhere else.
func (h *URL) page(token secret.String, p history.NextPage) (*url.URL, error) {
	u := h.with(token)
	if p == (history.NextPage{}) {
		return u, nil
	}
	own, _ := url.ParseQuery(h.query) // with tokenPlace
	query := u.Query()
	if p.URL == "" {
		query.Set("page", strconv.Itoa(p.Number))
		u.RawQuery = query.Encode()
		return u, nil
	}
	to, err := u.Parse(strings.TrimSpace(p.URL))
	if err != nil || !sameHost(to, u) {
		return nil, history.ErrPageElsewhere
	}
	for key, values := range to.Query() {
		if !strings.Contains(strings.Join(own[key], ""), tokenPlace) {
			query[key] = values
		}
	}
	u.RawQuery = query.Encode()
	switch {
	case !strings.Contains(h.path, tokenPlace), strings.Contains(to.Path, token.Reveal()):
		u.Path, u.RawPath = to.Path, to.RawPath
	case to.RawQuery == "":
		return nil, history.ErrPageElsewhere // its path differs, so it is unknown where the token belongs
	}
	return u, nil
}

// sameHost reports whether two URLs have the same host and port. Servers behind a proxy write http for https.
func sameHost(u, as *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Hostname(), as.Hostname()) {
		return false
	}
	return u.Port() == as.Port() || port(u) == port(as)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
