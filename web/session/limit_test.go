package session

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// attempts counts how many of n attempts are let through, and returns the last limit.
func attempts(n int, try func() error) (through int, limit *LimitError) {
	for range n {
		if err := try(); !errors.As(err, &limit) {
			through++
		}
	}
	return through, limit
}

func TestPasswordsOfOneClientAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, files(t, ownerPassword, ""))
		guess := func(client netip.Addr) func() error {
			return func() error { _, _, err := s.LogIn(client, "a wrong password"); return err }
		}
		n, limit := attempts(1000, guess(here()))
		if n != clientBurst {
			t.Errorf("%d guesses went through at once, want %d", n, clientBurst)
		}
		if limit.RetryAfter != clientEvery || limit.Seconds() != 12 {
			t.Errorf("RetryAfter %s, %d s, want %s", limit.RetryAfter, limit.Seconds(), clientEvery)
		}
		if _, _, err := s.LogIn(here(), ownerPassword); !errors.As(err, &limit) {
			t.Errorf("the right password within the limit: %v", err)
		}
		if _, _, err := s.LogIn(netip.MustParseAddr("192.0.2.1"), ownerPassword); err != nil {
			t.Errorf("another client: %v", err)
		}
		time.Sleep(limit.RetryAfter)
		if _, _, err := s.LogIn(here(), ownerPassword); err != nil {
			t.Errorf("after RetryAfter: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if n, _ := attempts(1000, guess(here())); n != clientBurst {
			t.Errorf("a day later %d guesses went through at once, want %d", n, clientBurst)
		}
	})
}

func TestPasswordsOfAllClientsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, files(t, ownerPassword, ""))
		i := 0
		guess := func() error {
			i++
			_, _, err := s.LogIn(netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i)), "a wrong password")
			return err
		}
		n, _ := attempts(2000, guess)
		if n != overallBurst {
			t.Errorf("%d guesses from as many clients went through at once, want %d", n, overallBurst)
		}
		time.Sleep(time.Hour)
		if n, _ := attempts(2000, guess); n != overallBurst {
			t.Errorf("an hour later %d guesses went through, want %d", n, overallBurst)
		}
		if _, _, err := s.UseLink(here(), s.NewLink(Owner).Reveal()); err != nil {
			t.Errorf("a link during the attack: %v", err)
		}
	})
}

// One client has many IPv6 addresses, and IPv4 addresses in two forms.
func TestAddressesOfOneClient(t *testing.T) {
	for _, same := range [][2]string{
		{"2001:db8::1", "2001:db8::ffff:1"}, {"192.0.2.1", "::ffff:192.0.2.1"}, {"fe80::1%eth0", "fe80::1%eth1"},
	} {
		if a, b := prefixOf(netip.MustParseAddr(same[0])), prefixOf(netip.MustParseAddr(same[1])); a != b {
			t.Errorf("%s counts as %s, %s as %s", same[0], a, same[1], b)
		}
	}
	if prefixOf(netip.MustParseAddr("192.0.2.1")) == prefixOf(netip.MustParseAddr("192.0.2.2")) {
		t.Error("two IPv4 addresses count as one client")
	}
	if prefixOf(netip.Addr{}) != (netip.Prefix{}) {
		t.Error("clients without an address do not count as one")
	}
}

func TestWrongLinksOfOneClientAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		n, limit := attempts(1000, func() error { _, _, err := s.UseLink(here(), "wrong"); return err })
		if n != linkBurst || limit.Seconds() != 1 {
			t.Errorf("%d links went through, want %d; RetryAfter %d s", n, linkBurst, limit.Seconds())
		}
		if _, _, err := s.UseLink(here(), s.NewLink(Owner).Reveal()); err != nil {
			t.Errorf("the right link within the limit: %v", err)
		}
	})
}

func TestClientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimits()
		client := func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		}
		for i := range maxClients + 100 {
			_ = l.link(client(i))
		}
		if n := len(l.links.known); n != maxClients {
			t.Errorf("%d clients are known, want %d", n, maxClients)
		}
		// The clients for which there was no room share a limit, so an attacker gains nothing by filling the table.
		if n, _ := attempts(100, func() error { return l.link(client(1 << 20)) }); n != 0 {
			t.Errorf("%d attempts of one more client went through, want none", n)
		}
		time.Sleep(time.Minute)
		if err := l.link(client(1 << 20)); err != nil {
			t.Errorf("a minute later: %v", err)
		}
		if n := len(l.links.known); n != 1 {
			t.Errorf("a minute later %d clients are known, want 1", n)
		}
	})
}
