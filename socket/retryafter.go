package socket

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/httpheader"
)

// maxRetryDelay bounds a Retry-After: one attempt per hour hurts no server, and a mistaken number must not block treats for
// days.
const maxRetryDelay = time.Hour

// RetryDelays stores the delays that servers asked for with Retry-After. Clients that share it all respect them. The zero
// value is ready for use, also concurrently.
type RetryDelays struct {
	mu         sync.Mutex
	byEndpoint map[string]retryDelay
}

// retryDelay is the delay that one server asked for.
type retryDelay struct {
	until time.Time
	why   string
}

// endpointOf returns the scheme, host and path of a URL, without the query, which may be secret.
func endpointOf(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// ask records that a server wants no request before a time.
func (r *RetryDelays) ask(u *url.URL, until time.Time, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byEndpoint == nil {
		r.byEndpoint = make(map[string]retryDelay)
	}
	if endpoint := endpointOf(u); until.After(r.byEndpoint[endpoint].until) {
		r.byEndpoint[endpoint] = retryDelay{until, why}
	}
}

// left returns how long a server wants no request, and why.
func (r *RetryDelays) left(u *url.URL, now time.Time) (d time.Duration, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked, ok := r.byEndpoint[endpointOf(u)]
	if !ok {
		return 0, ""
	}
	if d = asked.until.Sub(now); d <= 0 {
		delete(r.byEndpoint, endpointOf(u))
		return 0, ""
	}
	return d, asked.why
}

// delayed returns the failure of an attempt that must wait, or nil.
func (c *Client) delayed() error {
	left, why := c.cfg.Dial.RetryDelays.left(c.url, time.Now())
	if left == 0 {
		return nil
	}
	return &fault{kindDelayed, fmt.Errorf("connect to %s: %s", c.url.Host, why)}
}

// answered records the Retry-After of a server's refusal, and returns it in words.
func (c *Client) answered(resp *http.Response, now time.Time) string {
	after := httpheader.RetryAfter(resp.Header, now, maxRetryDelay)
	if after == 0 || resp.StatusCode < http.StatusBadRequest {
		return ""
	}
	until := now.Add(after)
	asked := "; it asked clients to wait until " + until.UTC().Format(time.RFC3339)
	c.cfg.Dial.RetryDelays.ask(c.url, until, fmt.Sprintf("HTTP %d%s", resp.StatusCode, asked))
	return asked
}
