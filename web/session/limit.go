package session

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The limits of attempts. A password may be guessed, so the limit for all clients together bounds an attack from many addresses. It also refuses the
// right password during one, but never a link.
const (
	clientEvery   = 12 * time.Second
	clientBurst   = 5
	overallEvery  = time.Second
	overallBurst  = 60
	linkEvery     = time.Second
	linkBurst     = 20
	maxClients    = 4096 // further ones share a limit
	ipv6ClientLen = 64   // a client usually has all addresses of such a prefix
)

// limits bound the attempts to log in.
type limits struct {
	mu        sync.Mutex
	overall   *rate.Limiter
	passwords clients
	links     clients
}

// clients are the limits of single clients.
type clients struct {
	every  time.Duration
	burst  int
	known  map[netip.Prefix]*rate.Limiter
	others *rate.Limiter // of those for which there was no room
}

func newLimits() *limits {
	return &limits{
		overall:   rate.NewLimiter(rate.Every(overallEvery), overallBurst),
		passwords: newClients(clientEvery, clientBurst),
		links:     newClients(linkEvery, linkBurst),
	}
}

func newClients(every time.Duration, burst int) clients {
	return clients{every, burst, make(map[netip.Prefix]*rate.Limiter), rate.NewLimiter(rate.Every(every), burst)}
}

// password counts an attempt with a password. The error is a [*LimitError]; such an attempt does not count.
func (l *limits) password(client netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return take(l.passwords.of(client), l.overall)
}

// link counts an attempt with a wrong link.
func (l *limits) link(client netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return take(l.links.of(client))
}

// take counts an attempt at all limiters, or at none if it is too early for one of them.
func take(all ...*rate.Limiter) error {
	now := time.Now()
	var taken []*rate.Reservation
	var wait time.Duration
	for _, one := range all {
		r := one.ReserveN(now, 1)
		taken, wait = append(taken, r), max(wait, r.DelayFrom(now))
	}
	if wait == 0 {
		return nil
	}
	for _, r := range taken {
		r.CancelAt(now)
	}
	return &LimitError{RetryAfter: wait}
}

// of returns the limiter of a client.
func (c *clients) of(client netip.Addr) *rate.Limiter {
	key := prefixOf(client)
	if one, ok := c.known[key]; ok {
		return one
	}
	if len(c.known) >= maxClients {
		for key, one := range c.known {
			if one.Tokens() >= float64(c.burst) { // as good as new
				delete(c.known, key)
			}
		}
		if len(c.known) >= maxClients {
			return c.others
		}
	}
	one := rate.NewLimiter(rate.Every(c.every), c.burst)
	c.known[key] = one
	return one
}

// prefixOf returns the addresses that count as one client.
func prefixOf(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := client.BitLen()
	if client.Is6() {
		bits = ipv6ClientLen
	}
	p, err := client.Prefix(bits)
	if err != nil { // an invalid address: such clients count as one
		return netip.Prefix{}
	}
	return p
}
