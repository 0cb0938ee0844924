package session

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keep returns sessions that are kept in a file, as after a start of relay.
func keep(t *testing.T, cfg Config, path string) *Sessions {
	t.Helper()
	s := open(t, cfg)
	if err := s.Keep(path, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSessionsSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, path := files(t, ownerPassword, moderatorPassword), filepath.Join(t.TempDir(), "sessions.json")
		s := keep(t, cfg, path)
		tokens := map[string]Role{withLink(t, s, Owner): Owner, withLink(t, s, Moderator): Moderator}
		for role, password := range map[Role]string{Owner: ownerPassword, Moderator: moderatorPassword} {
			token, _, err := s.LogIn(here(), password)
			if err != nil {
				t.Fatal(err)
			}
			tokens[token.Reveal()] = role
		}
		out := withLink(t, s, Owner)
		s.End(out)
		for range 4 { // a restart later, each still has its role, and its use counts
			time.Sleep(Idle - time.Hour)
			s = keep(t, cfg, path)
			for token, want := range tokens {
				if got := s.Role(token); got != want {
					t.Fatalf("after a restart a session has the role %s, want %s", got, want)
				}
			}
			if s.Role(out) != None {
				t.Error("a session that was logged out is back")
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for token := range tokens {
			if strings.Contains(string(data), token) {
				t.Error("the file has a token")
			}
		}
		if strings.Contains(string(data), ownerPassword) {
			t.Error("the file has a password")
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("the mode of the file is %v, %v", info.Mode(), err)
		}
		time.Sleep(Idle + time.Hour)
		s = keep(t, cfg, path)
		for token := range tokens {
			if s.Role(token) != None {
				t.Error("a restart revives a session that has ended")
			}
		}
	})
}

// A password that changes while relay does not run ends what it opened, and nothing else.
func TestPasswordChangesBeforeARestart(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"another": func(cfg *Config) { replace(t, cfg.PasswordFile, "another owner password") },
		"none":    func(cfg *Config) { cfg.PasswordFile = "" },
		"swapped": func(cfg *Config) { cfg.PasswordFile, cfg.ModeratorPasswordFile = cfg.ModeratorPasswordFile, "" },
	} {
		cfg, path := files(t, ownerPassword, moderatorPassword), filepath.Join(t.TempDir(), "sessions.json")
		s := keep(t, cfg, path)
		byOwner, _, err := s.LogIn(here(), ownerPassword)
		if err != nil {
			t.Fatal(err)
		}
		link, err := s.NewLinkBy(WithToken(t.Context(), byOwner.Reveal()), Moderator)
		if err != nil {
			t.Fatal(err)
		}
		fromOwner, _, err := s.UseLink(here(), link.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		kept := withLink(t, s, Owner)
		change(&cfg)
		s = keep(t, cfg, path)
		if s.Role(byOwner.Reveal()) != None || s.Role(fromOwner.Reveal()) != None {
			t.Errorf("%s: the old password's sessions live on", name)
		}
		if s.Role(kept) != Owner {
			t.Errorf("%s: the session of a link has ended", name)
		}
	}
}

func TestDamagedFileOfSessions(t *testing.T) {
	for _, text := range []string{"", "{", `{"sessions":[{"hash":"AA==","role":"owner"}]}`, `{"sessions":[{"hash":"AA==","role":"key"}]}`, "[]"} {
		path := filepath.Join(t.TempDir(), "sessions.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Config{})
		_ = s.Keep(path, func(error) {})
		if n := len(s.open); n != 0 {
			t.Errorf("%q opens %d sessions", text, n)
		}
		token := withLink(t, s, Owner)
		if s = keep(t, Config{}, path); s.Role(token) != Owner {
			t.Errorf("%q: the next sessions are not kept", text)
		}
	}
}

func TestSessionsThatCannotBeKept(t *testing.T) {
	s := open(t, Config{})
	var failed error
	if err := s.Keep(filepath.Join(t.TempDir(), "nothing", "sessions.json"), func(err error) { failed = err }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if token := withLink(t, s, Owner); s.Role(token) != Owner || failed == nil {
		t.Errorf("the session has no role, or the error is missing: %v", failed)
	}
}
