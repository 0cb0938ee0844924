package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// plain is what a fifth provider is that follows RFC 6749: this one value, and nothing else anywhere.
func plain() provider.Provider {
	return provider.Provider{
		Name:      "plain",
		Title:     "Plain",
		BaseURL:   "https://plain.example",
		Endpoints: provider.Endpoints{Authorize: "/authorize", Token: "/token"},
		Login:     provider.Login{Scopes: []string{"read", "write"}, PKCE: true},
		Lifetimes: provider.Lifetimes{Access: time.Hour, Margin: 10 * time.Minute},
	}
}

// library is a server of github.com/go-oauth2/oauth2, which rotates refresh tokens and insists on PKCE.
type library struct {
	t        *testing.T
	server   *server.Server
	requests chan *http.Request
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	manager := manage.NewDefaultManager()
	shelf := &shelf{}
	manager.MapTokenStorage(shelf)
	manager.MapClientStorage(shelf)
	manager.SetValidateURIHandler(func(base, redirect string) error {
		if b, r := hostname(t, base), hostname(t, redirect); b != r {
			return errors.New("redirect to " + r)
		}
		return nil
	})
	manager.SetAuthorizeCodeTokenCfg(&manage.Config{AccessTokenExp: time.Hour, RefreshTokenExp: 24 * time.Hour, IsGenerateRefresh: true})
	manager.SetRefreshTokenCfg(&manage.RefreshingConfig{
		AccessTokenExp: time.Hour, RefreshTokenExp: 24 * time.Hour, IsGenerateRefresh: true, IsRemoveAccess: true, IsRemoveRefreshing: true,
	})
	l := &library{t: t, server: server.NewDefaultServer(manager), requests: make(chan *http.Request, 100)}
	l.server.Config.ForcePKCE = true
	l.server.SetClientInfoHandler(server.ClientFormHandler)
	l.server.SetUserAuthorizationHandler(func(http.ResponseWriter, *http.Request) (string, error) { return "viewer", nil })
	return l
}

// shelf is where the library keeps its one client and its tokens; its own store never ends its goroutine.
type shelf struct {
	mu     sync.Mutex
	tokens []oauth2.TokenInfo
}

func (*shelf) GetByID(_ context.Context, id string) (oauth2.ClientInfo, error) {
	if id != clientID {
		return nil, errors.New("unknown client")
	}
	return &models.Client{ID: clientID, Secret: clientSecret, Domain: "http://127.0.0.1"}, nil
}

func (s *shelf) Create(_ context.Context, info oauth2.TokenInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, info)
	return nil
}

func (s *shelf) get(key string, by func(oauth2.TokenInfo) string) (oauth2.TokenInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range s.tokens {
		if key != "" && by(info) == key {
			return info, nil
		}
	}
	return nil, nil
}

func (s *shelf) remove(key string, by func(oauth2.TokenInfo) string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = slices.DeleteFunc(s.tokens, func(info oauth2.TokenInfo) bool { return by(info) == key })
	return nil
}

func (s *shelf) GetByCode(_ context.Context, key string) (oauth2.TokenInfo, error) {
	return s.get(key, oauth2.TokenInfo.GetCode)
}

func (s *shelf) GetByAccess(_ context.Context, key string) (oauth2.TokenInfo, error) {
	return s.get(key, oauth2.TokenInfo.GetAccess)
}

func (s *shelf) GetByRefresh(_ context.Context, key string) (oauth2.TokenInfo, error) {
	return s.get(key, oauth2.TokenInfo.GetRefresh)
}

func (s *shelf) RemoveByCode(_ context.Context, key string) error {
	return s.remove(key, oauth2.TokenInfo.GetCode)
}

func (s *shelf) RemoveByAccess(_ context.Context, key string) error {
	return s.remove(key, oauth2.TokenInfo.GetAccess)
}

func (s *shelf) RemoveByRefresh(_ context.Context, key string) error {
	return s.remove(key, oauth2.TokenInfo.GetRefresh)
}

func hostname(t *testing.T, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}

func (l *library) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		l.t.Error(err)
	}
	if r.URL.Path == "/authorize" {
		if err := l.server.HandleAuthorizeRequest(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		return
	}
	l.requests <- r
	if err := l.server.HandleTokenRequest(w, r); err != nil {
		l.t.Error(err)
	}
}

// account is one at the library. The server of standIn stands by idle: it takes no browsers.
func (l *library) account(t *testing.T, style provider.BodyStyle) *standIn {
	t.Helper()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	return newStandInOf(t, plain(), http.NotFound, false, func(c *auth.Config) {
		c.BaseURL, c.RedirectURL, c.BodyStyle = server.URL, "http://127.0.0.1:0/back", style
	})
}

// browse opens target as a browser with cookies does, and follows every redirect to the page where relay waits.
func browse(t *testing.T, target string) (int, string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, resp.Request.URL.Path
}

// loginIn logs an account in through its own Login, with a browser that does as it is told.
func (s *standIn) loginIn(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	err := s.Login(t.Context(), login.Options{Browser: func(target string) error {
		go func() {
			defer close(done)
			if status, path := browse(t, target); status != http.StatusOK || path != "/back" {
				t.Errorf("the browser ended at %s with %d", path, status)
			}
		}()
		return nil
	}})
	<-done
	if err != nil {
		t.Fatal(err)
	}
}

// A provider that follows RFC 6749, by one value: login with PKCE, rotation, refresh, the end of it, in each body style that the library takes.
func TestPlainProvider(t *testing.T) {
	for _, style := range []provider.BodyStyle{provider.Form, provider.Query} {
		t.Run(string(style), func(t *testing.T) {
			l := newLibrary(t)
			s := l.account(t, style)
			s.loginIn(t)
			first := s.grant(t)
			if first.RefreshToken.Empty() || !about(first.Expiry, time.Now().Add(time.Hour)) {
				t.Errorf("until %s", first.Expiry)
			}
			if r := <-l.requests; len(r.Form.Get("code_verifier")) < 43 || r.Form.Get("scope") != "" || (style == provider.Query) != r.URL.Query().Has("code_verifier") {
				t.Errorf("exchange by %v", r.Form)
			}
			s.age(t, 51*time.Minute)
			if got := s.token(t); got.Generation != 2 || got.AccessToken == first.AccessToken || s.grant(t).RefreshToken == first.RefreshToken {
				t.Errorf("generation %d, or the tokens are not others", got.Generation)
			}
			if got, err := s.Refresh(t.Context(), 2); err != nil || got.Generation != 3 {
				t.Errorf("the second rotation: %d, %v", got.Generation, err)
			}
			// With the first refresh token, long replaced, the grant is over.
			g := s.grant(t)
			g.RefreshToken = first.RefreshToken
			if err := s.store.Save("mystream", g); err != nil {
				t.Fatal(err)
			}
			_, err := s.Refresh(t.Context(), 0)
			s.wantError(t, err, true, "login needed", "refused the refresh token", "relay auth login mystream")
			s.loginIn(t)
			if got := s.token(t); got.Generation != 4 {
				t.Errorf("generation %d", got.Generation)
			}
		})
	}
}

// authorizeQuery gives what Login asks the provider for, and ends that login.
func (s *standIn) authorizeQuery(t *testing.T) url.Values {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var query url.Values
	err := s.Login(ctx, login.Options{Browser: func(target string) error {
		u, err := url.Parse(target)
		query = u.Query()
		cancel()
		return err
	}})
	s.wantError(t, err, false, "log in mystream")
	return query
}

// The code is of no use without the verifier, which only Login has.
func TestPKCE(t *testing.T) {
	l := newLibrary(t)
	s := l.account(t, provider.Form)
	query := s.authorizeQuery(t)
	challenge := query.Get("code_challenge")
	if query.Get("code_challenge_method") != "S256" || len(challenge) != 43 || query.Get("scope") != "read write" {
		t.Errorf("authorize with %v", query)
	}
	if another := s.authorizeQuery(t); another.Get("code_challenge") == challenge || another.Get("state") == query.Get("state") {
		t.Error("two logins share a challenge or a state")
	}

	// A thief who saw the code go by.
	query.Set("redirect_uri", "http://127.0.0.1:1/back")
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Get(s.cfg.BaseURL + "/authorize?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	back, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	err = s.Exchange(t.Context(), secret.New(back.Query().Get("code")), query.Get("redirect_uri"))
	s.wantError(t, err, false, "Plain gave no token: HTTP 400")
	if p := provider.All(); slices.ContainsFunc(p, func(p provider.Provider) bool { return p.Login.PKCE }) {
		t.Error("none of the known providers is documented to take PKCE")
	}
	if strings.Contains(s.log.String(), challenge) {
		t.Error("the challenge is in the log")
	}
}
