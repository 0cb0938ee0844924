package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/internal/secret"
)

// personal is a token that a user creates at TreeSnap.
const personal = "personal-token-of-the-test-0123456789"

// clouds implements the documented APIs of TreeSnap and CamStreamer Cloud, and records each request.
type clouds struct {
	*lines
	t      *testing.T
	server *httptest.Server
}

func newClouds(t *testing.T) *clouds {
	t.Helper()
	c := &clouds{lines: new(lines), t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /web-services/v1/my-observations", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+personal {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c.add([]byte("probe"))
		writeJSON(w, map[string]any{"data": []string{}})
	})
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.ContentLength != 0 || q.Get("client_id") != "relay" || q.Get("client_secret") != "cam-secret" ||
			q.Get("grant_type") != "authorization_code" || !strings.HasSuffix(q.Get("redirect_uri"), "/callback") {
			t.Errorf("token request %v with a body of %d bytes", q, r.ContentLength)
		}
		c.add([]byte("code " + q.Get("code")))
		answer := map[string]any{"access_token": "cam-token-" + q.Get("code"), "expires_in": 3600, "refresh_token": "cam-refresh-token"}
		if q.Get("code") == "once" {
			delete(answer, "refresh_token")
		}
		writeJSON(w, answer)
	})
	mux.HandleFunc("POST /oauth2/revoke", func(w http.ResponseWriter, r *http.Request) {
		c.add([]byte("revoke " + r.URL.Query().Get("access_token")))
		writeJSON(w, map[string]any{"success": true, "message": "ok"})
	})
	c.server = httptest.NewServer(mux)
	t.Cleanup(c.server.Close)
	return c
}

// accounts adds an account of each provider, and replaces the sinks by one.
func (c *clouds) accounts(s *settings) {
	s.Accounts["trees"] = &accountSettings{Provider: "treesnap", BaseURL: c.server.URL + "/web-services/v1"}
	s.Accounts["cam"] = &accountSettings{
		Provider: "camstreamer", BaseURL: c.server.URL + "/oauth2", ClientID: "relay", ClientSecret: "cam-secret",
		RedirectURL: fmt.Sprintf("http://127.0.0.1:%d/callback", freePort(c.t)),
	}
	s.Sinks = map[string]*sinkSettings{"console": {Type: "stdout"}}
}

// loginToCam logs in to CamStreamer Cloud as on a headless machine: it pastes the address that the browser was redirected to.
func (w *world) loginToCam(c *clouds, code string) string {
	w.t.Helper()
	p := w.start("auth", "login", "cam", "--no-browser")
	line := p.err.find(w.t, c.server.URL+"/oauth2/auth/")
	address, err := url.Parse(strings.TrimSpace(line[strings.Index(line, "http"):]))
	if err != nil {
		w.t.Fatal(err)
	}
	q := address.Query()
	if q.Get("client_id") != "relay" || q.Get("response_type") != "code" || q.Get("scope") != "read,write" || q.Get("state") == "" {
		w.t.Errorf("authorize %v", q)
	}
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	if _, err := io.WriteString(p.in, q.Get("redirect_uri")+"?"+back.Encode()+"\n"); err != nil {
		w.t.Fatal(err)
	}
	if ended := p.exit(); ended != exit.OK {
		w.t.Fatalf("login: exit code %d:\n%s", ended, p.err.text())
	}
	return p.err.text()
}

// A login at CamStreamer Cloud, from the login to the logout, which revokes the token. Relay reports that one-time access cannot be renewed, and no
// command revokes it early.
func TestCamStreamerCommands(t *testing.T) {
	c := newClouds(t)
	w := newWorld(t, simulatedRealtime)
	w.configure(c.accounts)
	if said := w.loginToCam(c, "many"); !strings.Contains(said, "relay renews the token automatically; the login lasts until it is revoked.") {
		t.Errorf("login:\n%s", said)
	}
	if out, _, code := w.command("", "auth", "token", "cam"); code != exit.OK || out != "cam-token-many" {
		t.Errorf("token: exit code %d, %q", code, out)
	}
	if _, stderr, code := w.command("", "auth", "logout", "cam"); code != exit.OK || !strings.Contains(stderr, "Deleted the tokens of cam.") {
		t.Errorf("logout: exit code %d:\n%s", code, stderr)
	}
	if want := []string{"code many", "revoke cam-token-many"}; !slices.Equal(c.get(), want) {
		t.Errorf("asked %v, want %v", c.get(), want)
	}
	if _, stderr, code := w.command("", "auth", "token", "cam"); code != exit.Unauthorized || !strings.Contains(stderr, "relay auth login cam") {
		t.Errorf("token after the logout: exit code %d:\n%s", code, stderr)
	}

	said := w.loginToCam(c, "once")
	ends := w.grant("cam").Expiry.Local().Format("It ends at 15:04 on 2 January 2006 and cannot be renewed.")
	if !strings.Contains(said, ends) || strings.Contains(said, "renews the token") {
		t.Errorf("login, want %q:\n%s", ends, said)
	}
	if _, stderr, code := w.command("", "auth", "refresh", "cam"); code != exit.Failure || !strings.Contains(stderr, "cannot be renewed; it ends at") {
		t.Errorf("refresh: exit code %d:\n%s", code, stderr)
	}
	if out, stderr, code := w.command("", "auth", "token", "cam"); code != exit.OK || out != "cam-token-once" {
		t.Errorf("token after the refresh: exit code %d, %q\n%s", code, out, stderr)
	}

	// What cannot be read cannot be revoked.
	path := w.data(datadir.AccountsDir, "cam.json")
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := w.command("", "auth", "logout", "cam"); code != exit.Unauthorized || !strings.Contains(stderr, "relay auth logout --force cam --config "+w.config) {
		t.Errorf("logout: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code := w.command("", "auth", "logout", "--force", "cam"); code != exit.OK {
		t.Errorf("logout --force: exit code %d:\n%s", code, stderr)
	}
}

// auth status advises a command that works for the account's provider, or none. Its JSON has the reason too.
func TestAuthStatusAdvice(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.configure(newClouds(t).accounts)
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: w.identity})
	if err != nil {
		t.Fatal(err)
	}
	dir := w.data(datadir.AccountsDir)
	files, err := store.Open(dir, store.NewAgeSealer(id))
	if err != nil {
		t.Fatal(err)
	}
	const long = "a long story of a lost answer"
	save := func(account, provider string, left time.Duration) {
		now := time.Now()
		if err := files.Save(account, grant.Grant{
			Provider: provider, AccessToken: secret.New("a"), RefreshToken: secret.New("r"), ObtainedAt: now.Add(-time.Hour), Expiry: now.Add(left),
			Generation: 1, State: grant.RefreshOutcomeUnknown, Reason: long,
		}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(account string, code int, advice string) {
		t.Helper()
		out, _, got := w.command("", "auth", "status", "--json", account)
		var s grants.TokenStatus
		if err := json.Unmarshal([]byte(out), &s); err != nil || got != code || s.Fix != advice || s.Reason == "" {
			t.Errorf("%s: exit code %d, %q because of %q (%v), want %d, %q", account, got, s.Fix, s.Reason, err, code, advice)
		}
		_, table, _ := w.command("", "auth", "status", account)
		flags := ""
		if strings.HasPrefix(advice, "relay auth") {
			flags = " --config " + w.config + " --data-dir " + w.data()
		}
		if !strings.HasSuffix(table, "  "+advice+flags) {
			t.Errorf("%s: want only %q at the end of\n%s", account, advice+flags, table)
		}
	}
	save("mystream", "treatstream", time.Hour)
	check("mystream", exit.OK, "relay finds out by itself when the token is due")
	save("mystream", "treatstream", -time.Minute)
	check("mystream", exit.Unauthorized, "relay auth login mystream")
	save("cam", "camstreamer", time.Hour) // which nobody can try a token at
	check("cam", exit.Unauthorized, "relay auth login cam")
	save("trees", "treesnap", -time.Minute)
	check("trees", exit.Unauthorized, "relay auth import trees")

	path := filepath.Join(dir, "trees.json")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	check("trees", exit.Unauthorized, "chmod 600 "+path)
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	check("trees", exit.Unauthorized, "relay auth import trees")
}
