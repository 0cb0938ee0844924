package wire

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// requestGap is how far apart token requests to one host are: eight a second, so that no second sees more than ten even where
// the network bunches them up.
const requestGap = time.Second / 8

// Transport is what requests to providers go through, as [NewTransport] makes it. Accounts that share one share
// the pace of their token requests (at most ten a second to each host, logins, refreshes, probes and socket
// tokens together) and what a provider asked for: where an endpoint answered one of them with Retry-After, none of them
// sends anything there before that is over. It may be used at once from many goroutines.
type Transport struct {
	*http.Transport
	traffic traffic
}

// traffic is what the accounts of a process do to their providers.
type traffic struct {
	mu   sync.Mutex
	next map[string]time.Time // by host: not before this
	hold map[string]hold      // by endpoint
	good map[string]time.Time // by endpoint: when it last gave a token, to whichever account
}

// hold is a request to send nothing.
type hold struct {
	until time.Time
	why   string
}

// trafficOf gives the traffic that accounts with this transport share.
func trafficOf(base http.RoundTripper) *traffic {
	if t, ok := base.(*Transport); ok {
		return &t.traffic
	}
	return new(traffic)
}

// wait waits for the turn of a request to endpoint. It returns at once, with an error, while the endpoint wants to be left alone.
// The error is a *Failure of kind NotSent.
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
	// Whoever was before may have been told to wait.
	if f := t.held(place, time.Now()); f != nil {
		return f
	}
	return nil
}

// slot takes the next free moment for a request to host, and says in how long it is.
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

// held gives the failure of a request to a place that wants to be left alone, nil when it does not.
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

// answered records what is of interest to others in an answer of endpoint.
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

// gave records that endpoint gave a token.
func (t *traffic) gave(endpoint string, now time.Time) {
	_, place := placeOf(endpoint)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.good == nil {
		t.good = map[string]time.Time{}
	}
	t.good[place] = now
}

// gaveSince reports whether endpoint gave a token to anybody after the given moment.
func (t *traffic) gaveSince(endpoint string, since time.Time) bool {
	_, place := placeOf(endpoint)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.good[place].After(since)
}

// placeOf gives the host of an endpoint, and the endpoint without what may be a secret in its query.
func placeOf(endpoint string) (host, place string) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", ""
	}
	return u.Host, u.Scheme + "://" + u.Host + u.Path
}

// How far a provider's clock may be from that of this machine to be believed instead of it.
const (
	clockAhead  = 24 * time.Hour
	clockBehind = 30 * 24 * time.Hour
)

// ServerTime is the time of an answer that arrived now, by the server's clock if its header Date is to be believed: the dates of what it
// sends are of that clock. ok is whether it is; else the time is now.
func ServerTime(header http.Header, now time.Time) (at time.Time, ok bool) {
	now = now.Round(0).UTC()
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil || date.After(now.Add(clockAhead)) || date.Before(now.Add(-clockBehind)) {
		return now, false
	}
	return date.UTC(), true
}
