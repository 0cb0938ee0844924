package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// With one account configured, its name may be omitted; with several, the error lists their names.
func TestAccountNameIsOptional(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	token, stderr, code := w.command("", "auth", "token")
	if code != exit.OK || token == "" {
		t.Fatalf("token: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code := w.command("", "auth", "refresh"); code != exit.OK || !strings.Contains(stderr, "Renewed the token of mystream;") {
		t.Errorf("refresh: exit code %d:\n%s", code, stderr)
	}
	pass := filepath.Join(w.dir, "passphrase")
	if err := os.WriteFile(pass, []byte("\xef\xbb\xbfcorrect horse battery\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, stderr, code := w.command("", "auth", "export", "--passphrase-file", pass)
	if code != exit.OK {
		t.Fatalf("export: exit code %d:\n%s", code, stderr)
	}
	if _, stderr, code := w.command("", "auth", "logout"); code != exit.OK || !strings.Contains(stderr, "Deleted the tokens of mystream.") {
		t.Errorf("logout: exit code %d:\n%s", code, stderr)
	}
	// As a shell of Windows redirects it, and with a passphrase that was saved in another way.
	if err := os.WriteFile(pass, []byte("correct horse battery"), 0o600); err != nil {
		t.Fatal(err)
	}
	var wide []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + strings.ReplaceAll(sealed, "\n", "\r\n"))) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	if _, stderr, code := w.command(string(wide), "auth", "import", "--passphrase-file", pass); code != exit.OK ||
		!strings.Contains(stderr, "The login has not been checked yet. To check it, run: relay auth refresh mystream"+w.flags()) {
		t.Errorf("import: exit code %d:\n%s", code, stderr)
	}
	if out, _, code := w.command("", "auth", "status", "--json"); code != exit.OK || checkValues([]byte(out), []string{"state", "active"}) != nil {
		t.Errorf("status: exit code %d: %s", code, out)
	}

	w.configure(newClouds(t).accounts)
	for _, command := range []string{"login", "logout", "token", "refresh", "import", "export"} {
		if _, stderr, code := w.command("", "auth", command); code != exit.Usage || !strings.Contains(stderr, "name the account: ") || !strings.Contains(stderr, "has [cam, mystream, trees]") {
			t.Errorf("%s: exit code %d:\n%s", command, code, stderr)
		}
		if _, _, code := w.command("", "auth", command, "cam", "trees"); code != exit.Usage {
			t.Errorf("%s of two: exit code %d", command, code)
		}
	}
}

// A revoked login has no time left, even if its token has not expired.
func TestStatusOfARevokedLogin(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.sim.RevokeAll()
	if _, stderr, code := w.command("", "auth", "refresh"); code != exit.Unauthorized || !strings.Contains(stderr, "login needed") {
		t.Fatalf("refresh: exit code %d:\n%s", code, stderr)
	}
	_, table, code := w.command("", "auth", "status")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	row := strings.Fields(lines[len(lines)-1])
	if code != exit.Unauthorized || len(row) < 5 || row[2] != string(grant.ReauthorizeNeeded) || row[3] != "-" || row[4] != "-" {
		t.Errorf("exit code %d, want no time left in\n%s", code, table)
	}
	out, _, _ := w.command("", "auth", "status", "--json")
	var s map[string]any
	if err := json.Unmarshal([]byte(out), &s); err != nil || s["expiry"] != nil || s["refresh_expiry"] != nil || s["state"] != string(grant.ReauthorizeNeeded) {
		t.Errorf("%v: %s", err, out)
	}
}

// An imported token that could not be checked is reported as unchecked, not as valid for a year.
func TestUncheckedImport(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "error code: 1020")
	}))
	defer gateway.Close()
	w := newWorld(t, simulatedRealtime)
	w.configure(func(s *settings) { s.Accounts["trees"] = &accountSettings{Provider: "treesnap", BaseURL: gateway.URL} })
	_, stderr, code := w.command("hello\r\n", "auth", "import", "trees")
	if code != exit.OK || !strings.Contains(stderr, "The token was not checked: HTTP 403 (error code: 1020): not the API's answer. To check it, run: relay auth refresh trees"+w.flags()) {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	out, _, _ := w.command("", "auth", "status", "trees", "--json")
	if reason, err := valueAt([]byte(out), "reason"); err != nil || !strings.HasPrefix(reason, "not checked: HTTP 403") {
		t.Errorf("%s (%v)", out, err)
	}
	// The gateway does not end it either.
	if _, stderr, code := w.command("", "auth", "refresh", "trees"); code != exit.Failure || !strings.Contains(stderr, "HTTP 403 (error code: 1020)") {
		t.Errorf("refresh: exit code %d:\n%s", code, stderr)
	}
	if out, _, code := w.command("", "auth", "token", "trees"); code != exit.OK || out != "hello" {
		t.Errorf("token: exit code %d, %q", code, out)
	}
}

// A provider that returns no state: relay accepts only a pasted address, and only with --accept-missing-state.
func TestLoginWithoutState(t *testing.T) {
	c := newClouds(t)
	w := newWorld(t, simulatedRealtime)
	w.configure(c.accounts)
	for _, accept := range []bool{false, true} {
		args := []string{"auth", "login", "cam", "--no-browser", "--timeout", "20s"}
		if accept {
			args = append(args, "--accept-missing-state")
		}
		p := w.start(args...)
		line := p.err.find(t, c.server.URL+"/oauth2/auth/")
		address, err := url.Parse(strings.TrimSpace(line[strings.Index(line, "http"):]))
		if err != nil {
			t.Fatal(err)
		}
		back := address.Query().Get("redirect_uri") + "/?code=a+b;c%d"
		resp, err := http.Get(back)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(page), "relay auth login cam --accept-missing-state") {
			t.Errorf("HTTP %d, %v:\n%s", resp.StatusCode, err, page)
		}
		if _, err := io.WriteString(p.in, back+"\n"); err != nil {
			t.Fatal(err)
		}
		if accept {
			if code := p.exit(); code != exit.OK {
				t.Fatalf("exit code %d:\n%s", code, p.err.text())
			}
			continue
		}
		p.err.find(t, "Copy the whole address line of the browser. If CamStreamer Cloud returns no state at all")
		if _, err := io.WriteString(p.in, back+"&state="+address.Query().Get("state")+"\n"); err != nil {
			t.Fatal(err)
		}
		if code := p.exit(); code != exit.OK {
			t.Fatalf("exit code %d:\n%s", code, p.err.text())
		}
	}
	if got := w.grant("cam"); got.AccessToken.Reveal() != "cam-token-a+b;c%d" || time.Until(got.Expiry) < 50*time.Minute {
		t.Errorf("until %s, or another token", got.Expiry)
	}
}
