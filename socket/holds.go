package socket

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/httpheader"
)

// holdMax bounds a Retry-After: one attempt per hour hurts no server, and a mistaken number must not block treats for
// days.
const holdMax = time.Hour

// Holds stores the delays that servers asked for with Retry-After. Clients that share it all respect them. The zero
// value is ready for use, also concurrently.
type Holds struct {
	mu     sync.Mutex
	places map[string]hold
}

// hold is the delay that one server asked for.
type hold struct {
	until time.Time
	why   string
}

// placeOf returns the scheme, host and path of a URL, without the query, which may be secret.
func placeOf(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// ask records that a server wants no request before a time.
func (h *Holds) ask(u *url.URL, until time.Time, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.places == nil {
		h.places = make(map[string]hold)
	}
	if place := placeOf(u); until.After(h.places[place].until) {
		h.places[place] = hold{until, why}
	}
}

// left returns how long a server wants no request, and why.
func (h *Holds) left(u *url.URL, now time.Time) (d time.Duration, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked, ok := h.places[placeOf(u)]
	if !ok {
		return 0, ""
	}
	if d = asked.until.Sub(now); d <= 0 {
		delete(h.places, placeOf(u))
		return 0, ""
	}
	return d, asked.why
}

// heldBack returns the failure of an attempt that must wait, or nil.
func (c *Client) heldBack() error {
	left, why := c.cfg.Dial.Holds.left(c.url, time.Now())
	if left == 0 {
		return nil
	}
	return &fault{kindHeld, fmt.Errorf("connect to %s: %s", c.url.Host, why)}
}

// answered records the Retry-After of a server's refusal, and returns it in words.
func (c *Client) answered(resp *http.Response, now time.Time) string {
	after := httpheader.RetryAfter(resp.Header, now, holdMax)
	if after == 0 || resp.StatusCode < http.StatusBadRequest {
		return ""
	}
	until := now.Add(after)
	asked := "; it asked to be left alone until " + until.UTC().Format(time.RFC3339)
	c.cfg.Dial.Holds.ask(c.url, until, fmt.Sprintf("HTTP %d%s", resp.StatusCode, asked))
	return asked
}
