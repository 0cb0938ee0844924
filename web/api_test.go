package web

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/session"
)

// Every operation, sent by everybody.
func TestWhoMaySendWhat(t *testing.T) {
	s := serve(t, config(t))
	foreign := strings.Repeat("A", 43)
	for _, sender := range []struct {
		name string
		as   who
		role session.Role
		none int // the status without the right
	}{
		{"nobody", nobody, session.None, http.StatusUnauthorized},
		{"a foreign cookie", withCookie(foreign), session.None, http.StatusUnauthorized},
		{"a wrong key", withKey(keyOfMain + "A"), session.None, http.StatusUnauthorized},
		{"an empty key", withKey(""), session.None, http.StatusUnauthorized},
		{"a password as a key", withKey(ownerPassword), session.None, http.StatusUnauthorized},
		{"a key", withKey(keyOfMain), session.Key, http.StatusForbidden},
		{"a moderator", s.as(session.Moderator), session.Moderator, http.StatusForbidden},
		{"the owner", s.as(session.Owner), session.Owner, http.StatusForbidden},
	} {
		for _, o := range operations() {
			method, path := o.sample("main")
			got := s.do(method, path, "", sender.as)
			want := sender.none
			if sender.role >= cmp.Or(o.least, session.Owner) {
				want = http.StatusOK
			}
			if got.StatusCode != want {
				t.Errorf("%s: %s %s: status %d, want %d", sender.name, method, path, got.StatusCode, want)
			}
			if got.StatusCode == http.StatusOK {
				if arrived := got.seen(t); arrived.Pattern != o.pattern || arrived.Authorization+arrived.Cookie != "" {
					t.Errorf("%s: %s %s arrived as %+v", sender.name, method, path, arrived)
				}
			} else {
				got.problem(t)
			}
		}
	}
}

// A key opens its overlay and the events, whatever the address looks like.
func TestKeyOpensNothingElse(t *testing.T) {
	s := serve(t, config(t))
	key := withKey(keyOfMain)
	for _, o := range operations() {
		method, path := o.sample("second")
		if strings.Contains(path, "/overlays/") && s.do(method, path, "", key).StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: a key of another overlay opens it", method, path)
		}
	}
	for _, path := range []string{
		"/api/v1/overlays/main/../second/stage", "/api/v1/overlays/main%2f..%2fsecond/stage", "/api/v1/overlays/main/%2e%2e/second/stage",
		"/api/v1/overlays//stage", "/api/v1/overlays/main//stage", "/api/v1//events", "/api/v1/events/", "/api/v1/events/../status", "/api/v1/events%2f..%2fstatus",
		"/api/v1/overlays/MAIN/stage", "/api/v1/overlays/main%00/stage", "/api/v1/overlays/main%5c..%5csecond/stage", "/api/v1/./status", "/api/v1", "/api/v1/",
		"/api/v1/overlays/main", "/api/v1/overlays/main/", "/api/v1/overlays/mai/stage", "/api/v1/overlays/main2/stage",
	} {
		if got := s.do(http.MethodGet, path, "", key); got.StatusCode == http.StatusOK || strings.Contains(got.body, "Pattern") {
			t.Errorf("GET %s: status %d, %s", path, got.StatusCode, got.body)
		}
	}
	if got := s.do(http.MethodGet, "/session", "", key); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("GET /session with a key: status %d", got.StatusCode)
	}
	// With a key, the cookie does not count.
	if got := s.do(http.MethodGet, "/api/v1/status", "", key, s.as(session.Owner)); got.StatusCode != http.StatusForbidden {
		t.Errorf("a key with the owner's cookie: status %d, want 403", got.StatusCode)
	}
	// A proxy's own Authorization is no key.
	if got := s.do(http.MethodGet, "/api/v1/status", "", s.as(session.Owner), header("Authorization", "Basic cmVsYXk6cmVsYXk=")); got.StatusCode != http.StatusOK {
		t.Errorf("a cookie behind a proxy that asks for a password: status %d, want 200", got.StatusCode)
	}
}

func TestKeyOfOneAccount(t *testing.T) {
	s := serve(t, config(t))
	key := withKey(keyOfAlice)
	for query, want := range map[string]string{
		"":                                 "account=alice",
		"?account=alice":                   "account=alice",
		"?account=alice&account=alice&x=1": "account=alice&x=1",
		"?since=2026-11-29T10%3A00%3A00Z":  "account=alice&since=2026-11-29T10%3A00%3A00Z",
	} {
		if got := s.do(http.MethodGet, "/api/v1/events"+query, "", key).seen(t); got.Query != want {
			t.Errorf("%q arrived as %q, want %q", query, got.Query, want)
		}
	}
	for _, query := range []string{"?account=bob", "?account=alice&account=bob", "?account=", "?account=ALICE"} {
		got := s.do(http.MethodGet, "/api/v1/events"+query, "", key)
		if p := got.problem(t); got.StatusCode != http.StatusForbidden || !strings.Contains(p.Detail, "alice only") {
			t.Errorf("%q: status %d, %+v", query, got.StatusCode, p)
		}
	}
	for _, query := range []string{"?;account=bob", "?type=a%", "?since=%zz"} {
		if got := s.do(http.MethodGet, "/api/v1/events"+query, "", key); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%q, which cannot be decoded: status %d, want 400", query, got.StatusCode)
		}
	}
	if got := s.do(http.MethodGet, "/api/v1/events?account=bob", "", withKey(keyOfMain)).seen(t); got.Query != "account=bob" {
		t.Errorf("a key for all accounts: the query arrived as %q", got.Query)
	}
	if got := s.do(http.MethodGet, "/api/v1/overlays/second/stage?widget=ticker", "", key).seen(t); got.Query != "account=alice&widget=ticker" {
		t.Errorf("the stage: the query arrived as %q", got.Query)
	}
	if got := s.do(http.MethodGet, "/api/v1/overlays/second/stage?account=bob", "", key); got.StatusCode != http.StatusForbidden {
		t.Errorf("the stage of another account: status %d", got.StatusCode)
	}
	if got := s.do(http.MethodGet, "/api/v1/overlays/second/files/pizza.png?x=1", "", key).seen(t); got.Query != "x=1" {
		t.Errorf("another request: the query arrived as %q", got.Query)
	}
}

func TestRequestArrivesWhole(t *testing.T) {
	s := serve(t, config(t))
	owner := s.as(session.Owner)
	for _, size := range []int{0, 1, maxBody} {
		body := strings.Repeat("x", size)
		if got := s.do(http.MethodPost, "/api/v1/replay", body, owner).seen(t); got.Body != body {
			t.Errorf("%d bytes arrived of %d", len(got.Body), size)
		}
	}
	got := s.do(http.MethodPost, "/api/v1/replay", strings.Repeat("x", maxBody+1), owner)
	if p := got.problem(t); got.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(p.Detail, "1024 KiB") {
		t.Errorf("a body that is too large: status %d, %+v", got.StatusCode, p)
	}
	if got := s.do(http.MethodGet, "/api/v1/events", "", owner, header("Last-Event-ID", "42")).seen(t); got.LastEventID != "42" {
		t.Errorf("Last-Event-ID arrived as %q", got.LastEventID)
	}
	if got := s.do(http.MethodHead, "/api/v1/events", "", owner); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET" {
		t.Errorf("HEAD: status %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
	if got := s.do(http.MethodHead, "/api/v1/events", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("HEAD by nobody: status %d", got.StatusCode)
	}
}
