package session

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ownerPassword     = "correct horse battery"
	moderatorPassword = "staple for moderators"
)

func here() netip.Addr { return netip.MustParseAddr("127.0.0.1") }

func files(t *testing.T, owner, moderator string) Config {
	t.Helper()
	write := func(name, text string) string {
		if text == "" {
			return ""
		}
		path := filepath.Join(t.TempDir(), name)
		replace(t, path, text)
		return path
	}
	return Config{PasswordFile: write("owner", owner), ModeratorPasswordFile: write("moderator", moderator)}
}

// replace replaces a file as editors do, by another one.
func replace(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, cfg Config) *Sessions {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withLink(t *testing.T, s *Sessions, role Role) (token string) {
	t.Helper()
	opened, got, err := s.UseLink(here(), s.NewLink(role).Reveal())
	if err != nil || got != role {
		t.Fatalf("UseLink: role %s, error %v, want role %s", got, err, role)
	}
	return opened.Reveal()
}

func TestLinkOpensOneSession(t *testing.T) {
	s := open(t, Config{})
	for _, role := range []Role{Owner, Moderator} {
		link := s.NewLink(role).Reveal()
		token, got, err := s.UseLink(here(), link)
		if err != nil || got != role {
			t.Fatalf("first use: role %s, error %v", got, err)
		}
		if got := s.Role(token.Reveal()); got != role {
			t.Errorf("the session has the role %s, want %s", got, role)
		}
		if _, _, err := s.UseLink(here(), link); !errors.Is(err, ErrRefused) {
			t.Errorf("second use: error %v, want ErrRefused", err)
		}
		if s.Role(link) != None {
			t.Error("the token of a link is also one of a session")
		}
	}
}

func TestLinkEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		early, late := s.NewLink(Owner).Reveal(), s.NewLink(Owner).Reveal()
		time.Sleep(LinkLife)
		if _, _, err := s.UseLink(here(), early); err != nil {
			t.Errorf("after %s: %v", LinkLife, err)
		}
		time.Sleep(time.Nanosecond)
		if _, _, err := s.UseLink(here(), late); !errors.Is(err, ErrRefused) {
			t.Errorf("after more than %s: error %v, want ErrRefused", LinkLife, err)
		}
	})
}

func TestLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		first := s.NewLink(Owner).Reveal()
		for range maxLinks {
			time.Sleep(time.Millisecond)
			s.NewLink(Owner)
		}
		if len(s.links) != maxLinks {
			t.Errorf("there are %d links, want %d", len(s.links), maxLinks)
		}
		if _, _, err := s.UseLink(here(), first); !errors.Is(err, ErrRefused) {
			t.Errorf("the oldest link: error %v, want ErrRefused", err)
		}
	})
}

func TestLinkNeedsARoleWithSessions(t *testing.T) {
	s := open(t, Config{})
	for _, role := range []Role{None, Key, Owner + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewLink(%s) does not panic", role)
				}
			}()
			s.NewLink(role)
		}()
	}
}

func TestSessionEndsWithoutUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		token := withLink(t, s, Owner)
		for range 3 { // each use begins the time again
			time.Sleep(Idle)
			if s.Role(token) != Owner {
				t.Fatalf("the session ended within %s", Idle)
			}
		}
		time.Sleep(Idle + time.Nanosecond)
		if s.Role(token) != None {
			t.Errorf("the session lives after more than %s without use", Idle)
		}
	})
}

func TestSessionEndsAtItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		token, began := withLink(t, s, Owner), time.Now()
		for time.Since(began) < Lifetime {
			if s.Role(token) != Owner {
				t.Fatalf("the session ended after %s", time.Since(began))
			}
			time.Sleep(6 * time.Hour)
		}
		time.Sleep(time.Nanosecond)
		if s.Role(token) != None {
			t.Errorf("the session lives after more than %s", Lifetime)
		}
	})
}

func TestEndOfSessions(t *testing.T) {
	s := open(t, Config{})
	one, two, three := withLink(t, s, Owner), withLink(t, s, Owner), withLink(t, s, Moderator)
	s.End(one)
	s.End("no token")
	if s.Role(one) != None || s.Role(two) != Owner || s.Role(three) != Moderator {
		t.Error("End ends the wrong sessions")
	}
	link := s.NewLink(Owner).Reveal()
	s.EndAll()
	if s.Role(two) != None || s.Role(three) != None {
		t.Error("EndAll leaves a session")
	}
	if _, _, err := s.UseLink(here(), link); !errors.Is(err, ErrRefused) {
		t.Errorf("EndAll leaves a link: error %v", err)
	}
}

// A moderator who opens many sessions ends none of the owner's.
func TestSessionsAreBoundedForEachRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{})
		owner, first, second := withLink(t, s, Owner), withLink(t, s, Moderator), withLink(t, s, Moderator)
		for range maxSessions - 1 {
			time.Sleep(time.Second)
			s.Role(first) // so that the second one was used least recently
			withLink(t, s, Moderator)
		}
		if n := len(s.open); n != maxSessions+1 {
			t.Errorf("there are %d sessions, want %d", n, maxSessions+1)
		}
		if s.Role(owner) != Owner || s.Role(first) != Moderator || s.Role(second) != None {
			t.Error("the wrong session ended")
		}
	})
}

func TestTokensAreStoredHashed(t *testing.T) {
	s := open(t, files(t, ownerPassword, ""))
	link := s.NewLink(Owner)
	token := withLink(t, s, Owner)
	all := fmt.Sprintf("%+v %#v %+v %+v", s.open, s.links, s.passwords, link)
	for _, one := range []string{link.Reveal(), token, ownerPassword} {
		if strings.Contains(all, one) {
			t.Errorf("a secret is in the memory of the sessions: %s", all)
		}
	}
}

func TestForeignTokens(t *testing.T) {
	s := open(t, Config{})
	token := withLink(t, s, Owner)
	for _, wrong := range []string{"", token[1:], token + "A", strings.Repeat("A", len(token)), strings.ToUpper(token), strings.Repeat("A", 1<<20)} {
		if role := s.Role(wrong); role != None {
			t.Errorf("a wrong token of %d bytes has the role %s", len(wrong), role)
		}
	}
}
