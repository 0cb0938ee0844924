package wire

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// requestGap is the minimum time between token requests to a host: eight a second, so that the host sees at most ten a
// second even if the network delivers them in bursts.
const requestGap = time.Second / 8

// Transport carries requests to providers; [NewTransport] returns one. Accounts that share a Transport also share two
// limits. Together they send at most ten token requests a second to a host, counting logins, refreshes, probes and
// socket tokens. And after an endpoint answers one of them with Retry-After, none sends anything to it before then. A
// Transport is safe for concurrent use.
type Transport struct {
	*http.Transport
	traffic traffic
}

// traffic is the state of the requests that accounts share.
type traffic struct {
	mu     sync.Mutex
	next   map[string]time.Time // by host: earliest time of the next request
	hold   map[string]hold      // by endpoint
	issued map[string]time.Time // by endpoint: when it last issued a token to any account
}

// hold is the delay that an endpoint asked for.
type hold struct {
	until time.Time
	why   string
}

// trafficOf returns the traffic shared by accounts with this transport.
func trafficOf(base http.RoundTripper) *traffic {
	if t, ok := base.(*Transport); ok {
		return &t.traffic
	}
	return new(traffic)
}

// wait waits for the turn of a request to endpoint. It returns at once with an error while the endpoint has asked for a
// delay. The error is a *Failure of kind NotSent.
func (t *traffic) wait(ctx context.Context, endpoint string) error {
	host, place := placeOf(endpoint)
	if f := t.held(place, time.Now()); f != nil {
		return f
	}
	select {
	case <-time.After(t.slot(host, time.Now())):
	case <-ctx.Done():
		return &Failure{Why: "wait for the turn of a request to " + host + ": " + context.Cause(ctx).Error(), Cause: ctx.Err()}
	}
	// An earlier request may have been answered with Retry-After meanwhile.
	if f := t.held(place, time.Now()); f != nil {
		return f
	}
	return nil
}

// slot reserves the next free time for a request to host, and returns how long to wait for it.
func (t *traffic) slot(host string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now
	if next := t.next[host]; next.After(now) {
		at = next
	}
	if t.next == nil {
		t.next = map[string]time.Time{}
	}
	t.next[host] = at.Add(requestGap)
	return at.Sub(now)
}

// held returns the failure for a request to a place that has asked for a delay, else nil.
func (t *traffic) held(place string, now time.Time) *Failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hold[place]
	switch {
	case !ok:
		return nil
	case !now.Before(h.until):
		delete(t.hold, place)
		return nil
	}
	return &Failure{Why: h.why, After: h.until.Sub(now)}
}

// answered records the Retry-After of a reply from endpoint.
func (t *traffic) answered(endpoint string, ans Answer, now time.Time) {
	if ans.After <= 0 || ans.Status/100 == http.StatusOK/100 {
		return
	}
	_, place := placeOf(endpoint)
	until := now.Add(ans.After)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hold == nil {
		t.hold = map[string]hold{}
	}
	if until.After(t.hold[place].until) {
		t.hold[place] = hold{until, StatusText(ans.Status) + ", and asked to send nothing before " + until.UTC().Format(time.RFC3339)}
	}
}

// issuedAt records that endpoint issued a token.
func (t *traffic) issuedAt(endpoint string, now time.Time) {
	_, place := placeOf(endpoint)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.issued == nil {
		t.issued = map[string]time.Time{}
	}
	t.issued[place] = now
}

// issuedSince reports whether endpoint issued a token to any account after since.
func (t *traffic) issuedSince(endpoint string, since time.Time) bool {
	_, place := placeOf(endpoint)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.issued[place].After(since)
}

// placeOf returns the host of an endpoint, and the endpoint without its query, which may be secret.
func placeOf(endpoint string) (host, place string) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", ""
	}
	return u.Host, u.Scheme + "://" + u.Host + u.Path
}

// Maximum difference between the clocks of a provider and of this machine at which the provider's is trusted.
const (
	clockAhead  = 24 * time.Hour
	clockBehind = 30 * 24 * time.Hour
)

// ServerTime returns the time of a reply that arrived now, by the server's clock, which the dates in its body follow.
// ok is false if the Date field is missing or implausible; the time is then now.
func ServerTime(header http.Header, now time.Time) (at time.Time, ok bool) {
	now = now.Round(0).UTC()
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil || date.After(now.Add(clockAhead)) || date.Before(now.Add(-clockBehind)) {
		return now, false
	}
	return date.UTC(), true
}
