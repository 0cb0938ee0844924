package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// partner is an API with client credentials and a webhook endpoint that takes its tokens.
type partner struct {
	*lines
	server *httptest.Server

	mu     sync.Mutex
	issued int
	valid  string
	tokens []string // that came with requests
}

func newPartner(t *testing.T) *partner {
	t.Helper()
	p := &partner{lines: new(lines)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", func(w http.ResponseWriter, r *http.Request) {
		var ask map[string]string
		if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask["grant_type"] != "client_credentials" ||
			ask["client_id"] != "relay" || ask["client_secret"] != "partner-secret" || ask["audience"] != "bots" {
			t.Errorf("token request %v (%v)", ask, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.issued++
		p.valid = fmt.Sprintf("partner-token-%04d", p.issued)
		writeJSON(w, map[string]any{"access_token": p.valid, "expires_in": 3600})
	})
	mux.HandleFunc("POST /treats", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		p.tokens = append(p.tokens, token)
		if token != p.valid {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		p.add(body)
	})
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Webhooks carry the token of a client-credentials account, which needs no login. A token that the receiver refuses is
// renewed once, and no event is lost.
func TestWebhookWithAnAccount(t *testing.T) {
	bot := newPartner(t)
	w := newWorld(t, simulatedRealtime)
	w.configure(func(s *settings) {
		s.Accounts["partner"] = &accountSettings{
			Provider: "client-credentials", BaseURL: bot.server.URL, ClientID: "relay", ClientSecret: "partner-secret", Audience: "bots",
		}
		sink := webhookTo(bot.server.URL + "/treats")
		sink.Account = "partner"
		s.Sinks = map[string]*sinkSettings{"bot": sink}
	})
	w.login()
	p := w.start()
	w.connected()
	w.live.emit(0, 20)
	holds(t, "the webhook", bot.lines, 0, 20)
	bot.mu.Lock()
	bot.valid = "revoked" // the receiver takes none of the tokens that are out
	bot.mu.Unlock()
	w.live.emit(20, 40)
	holds(t, "the webhook", bot.lines, 0, 40)
	p.stop()
	if bot.issued != 2 {
		t.Errorf("%d tokens were asked for, want 2", bot.issued)
	}
	for _, token := range bot.tokens {
		if strings.Contains(p.err.text(), token) || token == "" {
			t.Errorf("token %q in a request and the log", token)
		}
	}
}

func TestAuthCommands(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	cloud := newClouds(t)
	w.configure(cloud.accounts)

	// Before the login everything says what to do.
	_, stderr, code := w.command("", "auth", "status")
	if code != exit.Unauthorized || !strings.Contains(stderr, "relay auth login mystream") || !strings.Contains(stderr, "relay auth import trees") {
		t.Errorf("status: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command("", "auth", "import", "trees"); code != exit.Usage || !strings.Contains(stderr, "nothing on standard input") {
		t.Errorf("import of nothing: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command("some-token", "auth", "import", "mystream"); code != exit.Usage || !strings.Contains(stderr, "relay auth login mystream") {
		t.Errorf("import of a token where there are none: exit code %d:\n%s", code, stderr)
	}

	w.login()
	w.loginToCam(cloud, "many")
	if _, stderr, code = w.command("mistyped\n", "auth", "import", "trees"); code == exit.OK || !strings.Contains(stderr, "TreeSnap refused the token") {
		t.Errorf("import of a token that TreeSnap does not know: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command(personal+"\n", "auth", "import", "trees"); code != exit.OK || strings.Contains(stderr, personal) ||
		!strings.Contains(stderr, "The token is valid until "+text.Day(time.Now().AddDate(0, 0, 365))+"; relay renews it before then.") {
		t.Fatalf("import: exit code %d:\n%s", code, stderr)
	}
	if !slices.Contains(cloud.get(), "probe") {
		t.Error("the token was not tried")
	}
	if out, _, code := w.command("", "auth", "token", "trees"); code != exit.OK || out != personal {
		t.Errorf("token: exit code %d, %q", code, out)
	}
	out, _, code := w.command("", "auth", "token", "mystream", "--json")
	var token struct {
		AccessToken string    `json:"access_token"`
		Expiry      time.Time `json:"expiry"`
	}
	if err := json.Unmarshal([]byte(out), &token); err != nil || code != exit.OK || token.AccessToken == "" || time.Until(token.Expiry) < time.Hour {
		t.Errorf("token --json: exit code %d, %v", code, err)
	}

	out, stderr, code = w.command("", "auth", "status")
	if code != exit.OK || out != "" || !strings.Contains(stderr, "ACCOUNT") || !strings.Contains(stderr, "29 days") && !strings.Contains(stderr, "30 days") {
		t.Errorf("status: exit code %d:\n%s%s", code, out, stderr)
	}
	out, _, code = w.command("", "auth", "status", "--json")
	var names []string
	for line := range strings.Lines(out) {
		var s auth.Status
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.State != "active" {
			t.Errorf("status --json: %q (%v)", line, err)
		}
		names = append(names, s.Account)
	}
	if code != exit.OK || !slices.Equal(names, []string{"cam", "mystream", "trees"}) || strings.Contains(out, personal) {
		t.Errorf("status --json: exit code %d, accounts %v", code, names)
	}

	if _, stderr, code = w.command("", "auth", "refresh", "mystream"); code != exit.OK {
		t.Errorf("refresh: exit code %d:\n%s", code, stderr)
	}
	if again, _, _ := w.command("", "auth", "token", "mystream"); again == "" || again == token.AccessToken {
		t.Error("refresh did not renew the token")
	}

	// To another machine and back: sealed for a passphrase, and for the other one's identity.
	pass := filepath.Join(w.dir, "passphrase")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, stderr, code := w.command("", "auth", "export", "mystream", "--passphrase-file", pass)
	if code != exit.OK || !strings.HasPrefix(sealed, "-----BEGIN AGE") {
		t.Fatalf("export: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command(sealed, "auth", "import", "mystream", "--force"); code == exit.OK || !strings.Contains(stderr, "--passphrase-file") {
		t.Errorf("import without the passphrase: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command(sealed, "auth", "import", "mystream", "--passphrase-file", pass); code == exit.OK || !strings.Contains(stderr, "force") {
		t.Errorf("import over a login that works: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command("", "auth", "logout", "mystream", "--force"); code != exit.OK {
		t.Errorf("logout: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command(sealed, "auth", "import", "mystream", "--passphrase-file", pass); code != exit.OK {
		t.Errorf("import: exit code %d:\n%s", code, stderr)
	}
	recipient, _, _ := w.command("", "auth", "identity")
	if sealed, stderr, code = w.command("", "auth", "export", "mystream", "--recipient", recipient); code != exit.OK {
		t.Fatalf("export: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command(sealed, "auth", "import", "mystream", "--force"); code != exit.OK {
		t.Errorf("import: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code = w.command("", "auth", "export", "mystream"); code != exit.Usage || !strings.Contains(stderr, "--passphrase-file") {
		t.Errorf("export without a terminal: exit code %d:\n%s", code, stderr)
	}
}

// The provider revokes a grant while relay runs: relay logs it once, and recovers after a login in another terminal.
func TestLoginHealsARunningRelay(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	w.sim.RevokeAll()
	w.live.drop()
	p.err.find(t, "account receives nothing until somebody logs in")
	before := w.sim.Stats()
	time.Sleep(500 * time.Millisecond)
	if after := w.sim.Stats(); after.Refresh != before.Refresh || after.SocketToken != before.SocketToken {
		t.Errorf("relay goes on asking: %+v, then %+v", before, after)
	}
	w.login()
	w.connected()
	w.live.emit(5, 10)
	holds(t, "stdout", p.out, 0, 10)
	if n := strings.Count(p.err.text(), "account receives nothing until"); n != 1 {
		t.Errorf("said %d times", n)
	}
	p.stop()
}
