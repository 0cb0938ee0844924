package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPasswordOpensTheSessionOfItsRole(t *testing.T) {
	s := open(t, files(t, ownerPassword, moderatorPassword))
	for password, want := range map[string]Role{ownerPassword: Owner, moderatorPassword: Moderator} {
		token, role, err := s.LogIn(here(), password)
		if err != nil || role != want || s.Role(token.Reveal()) != want {
			t.Errorf("role %s, error %v, want %s", role, err, want)
		}
	}
}

func TestWrongPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, files(t, ownerPassword, moderatorPassword))
		for _, wrong := range []string{"", "wrong", ownerPassword + "\n", ownerPassword[1:], strings.ToUpper(ownerPassword), strings.Repeat("x", 1<<20)} {
			time.Sleep(time.Minute) // so that no limit applies
			if _, role, err := s.LogIn(here(), wrong); !errors.Is(err, ErrRefused) || role != None {
				t.Errorf("a wrong password of %d bytes: role %s, error %v", len(wrong), role, err)
			}
		}
	})
}

func TestNoPassword(t *testing.T) {
	s := open(t, Config{})
	if _, _, err := s.LogIn(here(), ""); !errors.Is(err, ErrNoPassword) {
		t.Errorf("error %v, want ErrNoPassword", err)
	}
	if s.HasPassword() {
		t.Error("HasPassword without a file")
	}
}

func TestPasswordFileThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]struct{ text, want string }{
		"short":    {"elevenchars", "http.password_file: %: the password has 11 characters; choose one of at least 12"},
		"umlauts":  {"äöüäöüäöü", "http.password_file: %: the password has 9 characters; choose one of at least 12"},
		"long":     {strings.Repeat("x", 1025), "http.password_file: %: the password has 1025 bytes; choose one of at most 1024"},
		"empty":    {"", "read http.password_file: % is empty; write a password of at least 12 characters in one line of the file"},
		"lines":    {"secret-line-one\nsecret-line-two", "read http.password_file: % holds more than one line of text; write a password"},
		"missing":  {"-", "read http.password_file: open %"},
		"the same": {moderatorPassword, "has the same password as http.password_file; give moderators another one"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if want.text != "-" {
				replace(t, path, want.text)
			}
			cfg := files(t, "", moderatorPassword)
			cfg.PasswordFile = path
			_, err := New(cfg)
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want.want, "%", path)) {
				t.Errorf("error %v, want one with %q", err, want.want)
			}
			if err != nil && (strings.Contains(err.Error(), "elevenchars") || strings.Contains(err.Error(), "secret-line") || strings.Contains(err.Error(), moderatorPassword)) {
				t.Errorf("the error quotes the password: %v", err)
			}
		})
	}
}

func TestChangedPasswordCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := files(t, ownerPassword, moderatorPassword)
		s := open(t, cfg)
		before, _, err := s.LogIn(here(), ownerPassword)
		if err != nil {
			t.Fatal(err)
		}
		moderator, _, err := s.LogIn(here(), moderatorPassword)
		if err != nil {
			t.Fatal(err)
		}
		linked := withLink(t, s, Owner)
		replace(t, cfg.PasswordFile, "another good password")
		if _, _, err := s.LogIn(here(), ownerPassword); !errors.Is(err, ErrRefused) {
			t.Errorf("the old password: error %v, want ErrRefused", err)
		}
		if _, _, err := s.LogIn(here(), "another good password"); err != nil {
			t.Errorf("the new password: %v", err)
		}
		if s.Role(before.Reveal()) != None {
			t.Error("a session that the old password opened lives on")
		}
		if s.Role(moderator.Reveal()) != Moderator || s.Role(linked) != Owner {
			t.Error("a session ended that the old password did not open")
		}
	})
}

// Nobody needs to log in for a change to end the sessions of the old password.
func TestChangedPasswordEndsItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := files(t, ownerPassword, "")
		s := open(t, cfg)
		token, _, err := s.LogIn(here(), ownerPassword)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(cfg.PasswordFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fileCheck + time.Second)
		if s.Role(token.Reveal()) != Owner {
			t.Error("a file that is away for a moment ends the session")
		}
		if _, _, err := s.LogIn(here(), ownerPassword); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), cfg.PasswordFile) {
			t.Errorf("without the file: error %v, want one that names the file", err)
		}
		if fault, ok := errors.AsType[*FileError](s.Problem()); !ok || fault.Key != "http.password_file" {
			t.Errorf("the problem is %v, want one of the file", s.Problem())
		}
		replace(t, cfg.PasswordFile, "another good password")
		time.Sleep(fileCheck + time.Second)
		if s.Role(token.Reveal()) != None {
			t.Error("the session outlives its password")
		}
		if err := s.Problem(); err != nil {
			t.Errorf("the problem of a good file is %v", err)
		}
	})
}

// A password that is given to the other role takes its old sessions' role away.
func TestPasswordChangesItsRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := files(t, ownerPassword, moderatorPassword)
		s := open(t, cfg)
		token, _, err := s.LogIn(here(), ownerPassword)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, cfg.PasswordFile, "another good password")
		replace(t, cfg.ModeratorPasswordFile, ownerPassword)
		time.Sleep(fileCheck + time.Second)
		if role := s.Role(token.Reveal()); role != None {
			t.Errorf("the session has the role %s, want none", role)
		}
		if _, role, err := s.LogIn(here(), ownerPassword); role != Moderator {
			t.Errorf("role %s, error %v, want moderator", role, err)
		}
	})
}

// Somebody with an old password keeps nothing: neither the links that the session made, nor what those opened, of either role.
func TestPasswordEndsWhatItsSessionMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := files(t, ownerPassword, moderatorPassword)
		s := open(t, cfg)
		token, _, err := s.LogIn(here(), ownerPassword)
		if err != nil {
			t.Fatal(err)
		}
		link := func(by string, role Role) string {
			t.Helper()
			l, err := s.NewLinkBy(WithToken(t.Context(), by), role)
			if err != nil {
				t.Fatal(err)
			}
			return l.Reveal()
		}
		use := func(link string) string {
			t.Helper()
			opened, _, err := s.UseLink(here(), link)
			if err != nil {
				t.Fatal(err)
			}
			return opened.Reveal()
		}
		owner := use(link(token.Reveal(), Owner))
		moderator, again := use(link(owner, Moderator)), use(link(owner, Owner))
		local, err := s.NewLinkBy(t.Context(), Owner) // as by relay dashboard
		if err != nil {
			t.Fatal(err)
		}
		kept, unused := use(local.Reveal()), link(again, Owner)
		replace(t, cfg.PasswordFile, "another owner password")
		time.Sleep(fileCheck + time.Second)
		if _, _, err := s.UseLink(here(), unused); !errors.Is(err, ErrRefused) {
			t.Errorf("a link of the old password: %v, want ErrRefused", err)
		}
		for name, one := range map[string]string{"password": token.Reveal(), "owner": owner, "moderator": moderator, "again": again} {
			if role := s.Role(one); role != None {
				t.Errorf("the session %s has the role %s after the change of the password", name, role)
			}
		}
		if s.Role(kept) != Owner {
			t.Error("the session of a link that was made where relay runs has ended")
		}
		if _, err := s.NewLinkBy(WithToken(t.Context(), again), Owner); !errors.Is(err, ErrEnded) {
			t.Errorf("a link for a session that has ended: %v, want ErrEnded", err)
		}
	})
}
