package auth_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/peertest"
	"github.com/treatrelay/relay/internal/secret"
)

const (
	peerID = "relay-peer"
)

// startPeer runs a server that nobody here wrote, and gives its URL. Without Node the test is skipped.
func startPeer(t *testing.T, script string) string {
	t.Helper()
	node, dir := peertest.Require(t)
	cmd := exec.Command(node, script)
	cmd.Dir, cmd.Stderr = dir, t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var ready struct{ Port int }
	if err != nil || json.Unmarshal(line, &ready) != nil {
		t.Fatalf("%s said %q: %v", script, line, err)
	}
	return "http://127.0.0.1:" + strconv.Itoa(ready.Port)
}

// oidc is a fifth provider again: OpenID, with a way to try a token.
func oidc(t *testing.T) *standIn {
	base := startPeer(t, "oidc.js")
	p := provider.Provider{
		Name: "oidc", Title: "OIDC", BaseURL: base,
		Endpoints: provider.Endpoints{Authorize: "/auth", Token: "/token", Revoke: "/token/revocation", Probe: "/me"},
		Login:     provider.Login{Scopes: []string{"openid"}, PKCE: true},
		Lifetimes: provider.Lifetimes{Access: time.Hour, Margin: time.Minute},
	}
	return newStandInOf(t, p, http.NotFound, false, func(c *auth.Config) {
		c.BaseURL, c.ClientID, c.RedirectURL = base, peerID, "http://127.0.0.1:0/back"
	})
}

// A provider that ends the whole grant when a refresh token comes twice is the strictest judge of "one refresh at a time".
func TestPeerReuseDetection(t *testing.T) {
	s := oidc(t)
	s.loginIn(t)
	for round := int64(1); round <= 5; round++ {
		var all sync.WaitGroup
		for range 4 {
			process := s.again() // With its own turn and gate, and nothing in common but the store.
			for range 5 {
				all.Go(func() {
					if got, err := process.Refresh(t.Context(), round); err != nil || got.Generation != round+1 {
						t.Errorf("round %d: generation %d, %v", round, got.Generation, err)
					}
				})
			}
		}
		all.Wait()
	}
	if g := s.grant(t); g.State != grant.Active || g.Generation != 6 {
		t.Fatalf("state %s (%s), generation %d", g.State, g.Reason, g.Generation)
	}

	// That the judge is strict: a client that sends one refresh token twice is dead.
	for _, want := range []int{http.StatusOK, http.StatusBadRequest} {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).PostForm(s.cfg.BaseURL+"/token", url.Values{
			"grant_type": {"refresh_token"}, "client_id": {peerID}, "client_secret": {clientSecret},
			"refresh_token": {s.grant(t).RefreshToken.Reveal()},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("HTTP %d, want %d", resp.StatusCode, want)
		}
	}
	_, err := s.Refresh(t.Context(), 0)
	s.wantError(t, err, true, "login needed", "invalid_grant", "relay auth login mystream")
	s.loginIn(t)
	if got := s.token(t); got.Generation != 7 {
		t.Errorf("generation %d after the new login", got.Generation)
	}
	if err := s.Logout(t.Context()); err != nil {
		t.Error(err)
	}
}

// A refresh is carried out and its reply lost: the token family is lost too, and reported.
func TestPeerLostReply(t *testing.T) {
	s := oidc(t)
	s.loginIn(t)
	before := s.grant(t)
	marked := before
	marked.State, marked.Reason = grant.RefreshOutcomeUnknown, "the answer was lost"
	if err := s.store.Save("mystream", marked); err != nil {
		t.Fatal(err)
	}
	// It was not carried out: the token works at the probe, and the refresh token goes out again.
	if got, err := s.Refresh(t.Context(), 0); err != nil || got.Generation != 2 {
		t.Fatalf("generation %d, %v", got.Generation, err)
	}
	// It was: the same store, back from before.
	if err := s.store.Save("mystream", marked); err != nil {
		t.Fatal(err)
	}
	_, err := s.again().Refresh(t.Context(), 0)
	s.wantError(t, err, true, "login needed", "invalid_grant", "the answer to an earlier refresh was lost")
}

func TestPeerClientCredentials(t *testing.T) {
	base := startPeer(t, "mock.js")
	for _, style := range []provider.BodyStyle{"", provider.JSON, provider.Form} {
		t.Run("style "+string(style), func(t *testing.T) {
			s := newStandIn(t, "client-credentials", http.NotFound, func(c *auth.Config) {
				c.BaseURL, c.ClientID, c.BodyStyle, c.Scopes = base, peerID, style, []string{"read", "write"}
				c.Params = map[string]secret.String{"aud": secret.New("https://api.example.com")}
			})
			got := s.token(t)
			if !about(got.Expiry, time.Now().Add(time.Hour)) || got != s.token(t) {
				t.Errorf("until %s, or another at once", got.Expiry)
			}
			claims := payload(t, got.AccessToken)
			if !strings.Contains(claims, `"aud":"https://api.example.com"`) || !strings.Contains(claims, `"scope":"read write"`) {
				t.Errorf("claims %s", claims)
			}
			if next, err := s.Refresh(t.Context(), got.Generation); err != nil || next.Generation != 2 {
				t.Errorf("generation %d, %v", next.Generation, err)
			}
			s.cfg.ClientID = "somebody-else"
			_, err := s.again().Refresh(t.Context(), 0)
			s.wantError(t, err, true, "client refused: HTTP 401 (invalid_client)", "client_id")
		})
	}
}

// payload is what a JWT says.
func payload(t *testing.T, token secret.String) string {
	t.Helper()
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
