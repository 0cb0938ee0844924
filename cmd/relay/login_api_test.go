package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// browse opens an address as a browser does, and returns the address that the provider redirects it to.
func browse(t *testing.T, address string) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	location := resp.Header.Get("Location")
	if location == "" {
		t.Fatalf("the provider does not redirect: %s", resp.Status)
	}
	return location
}

// A login through the API heals a running relay: by the redirect of a browser on this machine, and by the pasted address of another one.
func TestLoginByAPI(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	client := w.client()
	state := func() api.LoginState {
		t.Helper()
		s, err := client.LoginState(t.Context(), "mystream")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	revoke := func() {
		t.Helper()
		w.sim.RevokeAll()
		w.live.drop()
		eventually(t, func() error {
			s, err := client.Status(t.Context())
			if err == nil && s.Accounts[0].Connection != api.ConnLoginNeeded {
				err = fmt.Errorf("the account is %s", s.Accounts[0].Connection)
			}
			return err
		})
	}
	start := func() api.Login {
		t.Helper()
		l, err := client.StartLogin(t.Context(), "mystream")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if s := state(); s.State != api.LoginNone || s.Method != api.LoginBrowser {
		t.Errorf("before: %+v", s)
	}

	revoke()
	first := start()
	if again := start(); again != first {
		t.Errorf("a second request starts another login: %v, then %v", first, again)
	}
	if s := state(); s.State != api.LoginWaiting {
		t.Errorf("under way: %+v", s)
	}
	resp, err := http.Get(browse(t, first.URL)) // the redirect_url, where relay listens
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	eventually(t, func() error {
		if s := state(); s.State != api.LoginDone {
			return fmt.Errorf("after the redirect: %+v", s)
		}
		return nil
	})
	w.connected()
	w.live.emit(0, 5)
	holds(t, "stdout", p.out, 0, 5)

	revoke()
	second := start()
	if second.URL == first.URL {
		t.Error("a new login has the state of the one before")
	}
	for _, wrong := range []string{"http://localhost/callback?code=x&state=wrong", "hello", second.URL} {
		s, err := client.PasteLogin(t.Context(), "mystream", api.PasteRequest{Address: wrong})
		if err != nil || s.State != api.LoginWaiting || s.Detail == "" {
			t.Errorf("pasted %q: %+v, %v", wrong, s, err)
		}
	}
	location := browse(t, second.URL)
	if s, err := client.PasteLogin(t.Context(), "mystream", api.PasteRequest{Address: location}); err != nil || s.State != api.LoginDone || s.Detail != "" {
		t.Errorf("pasted: %+v, %v", s, err)
	}
	w.connected()
	w.live.emit(5, 10)
	holds(t, "stdout", p.out, 0, 10)
	if _, err := client.PasteLogin(t.Context(), "mystream", api.PasteRequest{Address: location}); !api.Is(err, api.ProblemNoLogin) {
		t.Errorf("pasted when none is under way: %v", err)
	}

	start()
	if err := client.CancelLogin(t.Context(), "mystream"); err != nil || state().State != api.LoginNone {
		t.Errorf("canceled: %+v, %v", state(), err)
	}
	refused := start()
	declined := strings.Replace(browse(t, refused.URL), "code=", "error=access_denied&x=", 1)
	if s, err := client.PasteLogin(t.Context(), "mystream", api.PasteRequest{Address: declined}); err != nil || s.State != api.LoginFailed || s.FixCommand == nil {
		t.Errorf("declined: %+v, %v", s, err)
	}
	if _, err := client.StartLogin(t.Context(), "nobody"); !api.Is(err, api.ProblemNoAccount) {
		t.Errorf("an unknown account: %v", err)
	}
	start() // still waits when relay stops
	p.stop()
	w.noSecrets(p)
}

// A provider with personal tokens takes a pasted token, and refuses a wrong one. One with client credentials needs no login.
func TestLoginByTokenAndWithout(t *testing.T) {
	c := newClouds(t)
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.configure(func(s *settings) {
		s.Accounts["trees"] = &accountSettings{Provider: "treesnap", BaseURL: c.server.URL + "/web-services/v1"}
		s.Accounts["partner"] = &accountSettings{Provider: "client-credentials", BaseURL: c.server.URL, ClientID: "relay", ClientSecret: "s"}
	})
	p := w.start("--sink", "console")
	w.connected()
	client := w.client()
	for account, method := range map[string]string{"trees": api.LoginToken, "partner": api.LoginNotNeeded} {
		if s, err := client.LoginState(t.Context(), account); err != nil || s.Method != method || (s.TokenPage == "") != (method != api.LoginToken) {
			t.Errorf("%s: %+v, %v", account, s, err)
		}
		if _, err := client.StartLogin(t.Context(), account); !api.Is(err, api.ProblemNoLogin) || !strings.Contains(err.Error(), "; ") {
			t.Errorf("%s: a login in the browser: %v", account, err)
		}
	}
	if _, err := client.PasteLogin(t.Context(), "trees", api.PasteRequest{Token: "wrong-" + personal}); !api.Is(err, api.ProblemNoLogin) || strings.Contains(err.Error(), personal) {
		t.Errorf("a wrong token: %v", err)
	}
	if s, err := client.PasteLogin(t.Context(), "trees", api.PasteRequest{Token: " " + personal + "\n"}); err != nil || s.State != api.LoginDone {
		t.Errorf("a token: %+v, %v", s, err)
	}
	if g := w.grant("trees"); g.AccessToken.Reveal() != personal {
		t.Error("the token is not stored")
	}
	if _, err := client.PasteLogin(t.Context(), "trees", api.PasteRequest{}); !api.Is(err, api.ProblemUsage) {
		t.Errorf("nothing: %v", err)
	}
	p.stop()
	if strings.Contains(p.err.text(), personal) {
		t.Error("the token is in the log")
	}
}
