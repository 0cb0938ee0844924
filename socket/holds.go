package socket

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// holdMax bounds how long a server is left alone because it asked for that: one attempt an hour hurts no server, and a
// number with three zeros too many must not keep treats away for days.
const holdMax = time.Hour

// Holds are what servers asked for by Retry-After: to be left alone for a while. Clients that share one all keep to what any
// of them was told. It is ready to use, from many goroutines.
type Holds struct {
	mu     sync.Mutex
	places map[string]hold
}

// hold is what one server asked for.
type hold struct {
	until time.Time
	why   string
}

// placeOf names what is left alone: a server and a path, without what may be secret in the query.
func placeOf(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// ask notes that a server wants no request before the given moment.
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

// left returns for how long a server is to be left alone yet, and why.
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

// heldBack returns the failure of an attempt that is not made, because the server wants none; nil if it may be.
func (c *Client) heldBack() error {
	left, why := c.cfg.Dial.Holds.left(c.url, time.Now())
	if left == 0 {
		return nil
	}
	return &fault{kindHeld, fmt.Errorf("connect to %s: %s", c.url.Host, why)}
}

// answered notes what a server's refusal asks for, and says it in words.
func (c *Client) answered(resp *http.Response, now time.Time) string {
	after := retryAfter(resp.Header.Get("Retry-After"), now)
	if after == 0 || resp.StatusCode < http.StatusBadRequest {
		return ""
	}
	until := now.Add(after)
	asked := "; it asked to be left alone until " + until.UTC().Format(time.RFC3339)
	c.cfg.Dial.Holds.ask(c.url, until, fmt.Sprintf("HTTP %d%s", resp.StatusCode, asked))
	return asked
}

// retryAfter reads a Retry-After header, seconds or a date, as at most holdMax. Zero: there is none that makes sense.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		if !(seconds > 0) { // or no number
			return 0
		}
		return time.Duration(min(seconds, holdMax.Seconds()) * float64(time.Second))
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), holdMax)
}
