package auth_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/login"
	"github.com/treatrelay/relay/internal/secret"
)

// fakeTreeSnap is TreeSnap as its server's public source has it.
type fakeTreeSnap struct {
	*standIn
	expiresAt string // the JSON of expires_at; "" leaves it out

	mu    sync.Mutex
	valid string
}

func newTreeSnap(t *testing.T) *fakeTreeSnap {
	f := &fakeTreeSnap{}
	f.standIn = newStandIn(t, "treesnap", f.answer, func(cfg *auth.Config) {
		cfg.ClientID, cfg.ClientSecret, cfg.RedirectURL = "", secret.String{}, "" // It has no such things.
	})
	return f
}

// make gives the user another token, as the site does.
func (f *fakeTreeSnap) make(token string) secret.String {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.valid = f.secret(token)
	return secret.New(token)
}

func (f *fakeTreeSnap) answer(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	say := func(status int, body string) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
	switch {
	case r.Header.Get("Accept") != "application/json":
		w.Header().Set("Location", "/login")
		say(http.StatusFound, "")
	case bearer != f.valid:
		say(http.StatusUnauthorized, `{"error":"Unauthenticated."}`)
	case r.Method == http.MethodGet && r.URL.Path == "/my-observations":
		if r.URL.Query().Get("per_page") != "1" {
			f.t.Errorf("probe for %s", r.URL)
		}
		say(http.StatusOK, `{"data":[],"error_code":0}`)
	case r.Method == http.MethodPost && r.URL.Path == "/refresh-tokens":
		if got := r.PostForm; len(got) != 1 || r.URL.RawQuery != "" {
			f.t.Errorf("refresh with %d fields and the query %q", len(got), r.URL.RawQuery)
		}
		if r.PostForm.Get("access_token") != bearer {
			say(http.StatusUnauthorized, `{"error_code":1100,"message":"Tokens mismatch. Please use the same token in both."}`)
			return
		}
		f.valid = f.secret("canary-next-" + rand.Text())
		expires := ""
		if f.expiresAt != "" {
			expires = `"expires_at":` + f.expiresAt + `,`
		}
		say(http.StatusCreated, fmt.Sprintf(`{"access_token":%q,%s"error_code":0,"message":"Tokens updated successfully"}`, f.valid, expires))
	default:
		f.t.Errorf("%s %s", r.Method, r.URL.Path)
	}
}

// jwt makes a token with the given times in it, signed by nobody.
func jwt(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"typ":"JWT","alg":"RS256"}`)) + "." + part([]byte(claims)) + "." + part([]byte("canary-signature"))
}

func (f *fakeTreeSnap) imported(t *testing.T) {
	t.Helper()
	if err := f.ImportToken(t.Context(), f.make("canary-personal-"+rand.Text())); err != nil {
		t.Fatal(err)
	}
}

// about reports whether a is within a minute of b.
func about(a, b time.Time) bool { return a.Sub(b).Abs() < time.Minute }

func TestImportToken(t *testing.T) {
	now := time.Now()
	claims := func(iat, exp time.Duration) string {
		return fmt.Sprintf(`{"aud":"1","iat":%d,"exp":%d}`, now.Add(iat).Unix(), now.Add(exp).Unix())
	}
	for _, c := range []struct {
		name, token string
		expiry      time.Duration
		issued      time.Duration
	}{
		{"opaque", "canary-opaque", 365 * day, 0},
		{"pasted with blanks", " \n canary-blanks \r\n", 365 * day, 0},
		{"pasted with the scheme", "Bearer canary-scheme", 365 * day, 0},
		{"JWT", jwt(claims(-100*day, 265*day)), 265 * day, -100 * day},
		{"JWT with fractions", jwt(fmt.Sprintf(`{"exp":%d.25}`, now.Add(200*day).Unix())), 200 * day, 0},
		{"JWT that promises too much", jwt(claims(0, 50*365*day)), 365 * day, 0},
		{"JWT from the future", jwt(claims(10*day, 300*day)), 300 * day, 0},
		{"JWT with exp in milliseconds", jwt(fmt.Sprintf(`{"exp":%d}`, now.Add(100*day).UnixMilli())), 365 * day, 0},
		{"JWT without exp", jwt(`{"sub":"1"}`), 365 * day, 0},
		{"JWT with nonsense", jwt(`{"exp":"soon"}`), 365 * day, 0},
		{"not quite a JWT", "canary.%%%.x", 365 * day, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTreeSnap(t)
			if _, err := f.Token(t.Context()); !errors.Is(err, grant.ErrNone) {
				t.Errorf("%v, want ErrNoGrant", err)
			} else {
				f.wantError(t, err, true, "not logged in", "relay auth import mystream")
			}
			clean := strings.TrimPrefix(strings.TrimSpace(c.token), "Bearer ")
			f.make(clean)
			if err := f.ImportToken(t.Context(), secret.New(c.token)); err != nil {
				t.Fatal(err)
			}
			g := f.grant(t)
			if !about(g.Expiry, now.Add(c.expiry)) || !about(g.ObtainedAt, now.Add(c.issued)) {
				t.Errorf("from %s to %s, want %s and %s from now", g.ObtainedAt, g.Expiry, c.issued, c.expiry)
			}
			if got := f.token(t); got.AccessToken != secret.New(clean) || got.Generation != 1 {
				t.Errorf("generation %d of another token", got.Generation)
			}
			if s, err := f.Status(); err != nil || !s.Refreshable || s.State != grant.Active {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

func TestImportTokenRefusals(t *testing.T) {
	for name, c := range map[string]struct{ token, why string }{
		"nothing":       {" \n", "no token was given"},
		"a sentence":    {"my token is canary-words", "more than a token"},
		"two lines":     {"canary-one\ncanary-two", "more than a token"},
		"a config line": {`token: "canary-quoted"`, "more than a token"},
		"a book":        {strings.Repeat("canary", 10_000), "too long"},
		"expired":       {jwt(`{"exp":1562182329}`), "expired on 2019-07-03"},
		"unknown there": {"canary-unknown", "TreeSnap refused the token: HTTP 401 (Unauthenticated.)"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTreeSnap(t)
			f.imported(t)
			before := f.grant(t)
			f.secret(c.token)
			err := f.ImportToken(t.Context(), secret.New(c.token))
			f.wantError(t, err, false, c.why, "https://treesnap.org/developer", "relay auth import mystream")
			if strings.Contains(err.Error(), "canary") || f.grant(t) != before {
				t.Errorf("%v, or the grant is another", err)
			}
		})
	}
	w := newWorld(t)
	err := w.ImportToken(t.Context(), secret.New("canary-elsewhere"))
	w.wantError(t, err, false, "TreatStream gives no tokens to people", "relay auth login")
	err = newTreeSnap(t).Login(t.Context(), login.Options{})
	w.wantError(t, err, false, "TreeSnap has no login in a browser", "relay auth import mystream")
}

// A token that cannot be checked is saved, and reported as unchecked.
func TestImportTokenInAnOutage(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"503": says(503, "maintenance"), "Cloudflare": says(403, "error code: 1020"), "a page": says(401, "<html>", "Content-Type", "text/html"),
		"a gateway": says(403, `{"message":"Forbidden"}`), "a page in a 200": says(200, "<html>", "Content-Type", "text/html"), "reset": reset,
	} {
		f := newTreeSnap(t)
		f.then(answer)
		f.imported(t)
		s, err := f.Status()
		if err != nil || s.State != grant.Active || !strings.HasPrefix(s.Reason, "not checked: ") || !strings.Contains(f.log.String(), "could not be tried") {
			t.Errorf("%s: %+v, %v\n%s", name, s, err, f.log)
		}
		if got, err := f.Refresh(t.Context(), 0); err != nil || got.Generation != 2 || f.grant(t).Reason != "" {
			t.Errorf("%s: %v, or it is still in doubt", name, err)
		}
	}
}

// A token that is refused by a status alone does not replace the one that works: somebody is there who can try again.
func TestImportOfNoToken(t *testing.T) {
	for _, answer := range []http.HandlerFunc{says(401, ""), says(401, `{"message":"Unauthorized"}`), says(401, "no")} {
		f := newTreeSnap(t)
		f.imported(t)
		before := f.grant(t)
		f.then(answer)
		err := f.ImportToken(t.Context(), secret.New(f.secret("canary-hello")))
		f.wantError(t, err, false, "TreeSnap refused the token: HTTP 401", "relay auth import mystream")
		if f.grant(t) != before {
			t.Error("the grant is another")
		}
	}
}

// An import heals a grant that was written off, and the generation goes on counting.
func TestImportTokenHeals(t *testing.T) {
	f := newTreeSnap(t)
	f.imported(t)
	f.make("canary-other")
	f.age(t, 340*day)
	_, err := f.Token(t.Context())
	f.wantError(t, err, true, "login needed", "relay auth import mystream")
	if !strings.Contains(f.log.String(), "relay auth import mystream") {
		t.Error("the log names the wrong command")
	}
	f.imported(t)
	if got := f.token(t); got.Generation != 2 {
		t.Errorf("generation %d", got.Generation)
	}
}

func TestTreeSnapRefresh(t *testing.T) {
	at := time.Now().Add(300 * day).UTC().Truncate(time.Second)
	php := func(when time.Time, kind int, zone string) string {
		return fmt.Sprintf(`{"date":"%s.000000","timezone_type":%d,"timezone":%q}`, when.Format(time.DateTime), kind, zone)
	}
	for _, c := range []struct {
		name, expiresAt string
		want            time.Time
	}{
		{"PHP, a zone", php(at, 3, "UTC"), at},
		{"PHP, an offset", php(at.Add(2*time.Hour), 1, "+02:00"), at},
		{"PHP, an abbreviation", php(at.Add(-4*time.Hour), 2, "EDT"), at},
		{"ISO 8601", `"` + at.Format("2006-01-02T15:04:05.000000Z07:00") + `"`, at},
		{"missing", "", time.Now().Add(365 * day)},
		{"null", "null", time.Now().Add(365 * day)},
		{"nonsense", `"next year"`, time.Now().Add(365 * day)},
		{"past", php(at.Add(-400*day), 3, "UTC"), time.Now().Add(365 * day)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTreeSnap(t)
			f.expiresAt = c.expiresAt
			f.imported(t)
			before := f.grant(t)
			f.age(t, 334*day)
			if got := f.token(t); got.Generation != 1 {
				t.Error("refreshed 31 days ahead")
			}
			f.age(t, 2*day)
			got := f.token(t)
			g := f.grant(t)
			if got.Generation != 2 || got.AccessToken == before.AccessToken || got.AccessToken != g.AccessToken || !about(got.Expiry, c.want) {
				t.Errorf("generation %d until %s, want 2 until %s", got.Generation, got.Expiry, c.want)
			}
			if n := len(f.seen("/refresh-tokens")); n != 1 || g.State != grant.Active || !g.RefreshToken.Empty() {
				t.Errorf("%d refreshes, state %s", n, g.State)
			}
		})
	}
}

func TestTreeSnapErrors(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		dead   bool
		why    string
	}{
		"not found":        {says(404, `{"error":"Tokens not found","code":1000}`), true, "HTTP 404 (Tokens not found: 1000)"},
		"as documented":    {says(404, `{"error_code":1000,"message":"The provided access token does not exist."}`), true, "does not exist"},
		"unauthenticated":  {says(401, `{"message":"Unauthenticated."}`), true, "HTTP 401"},
		"mismatch":         {says(401, `{"error_code":1100,"message":"Tokens mismatch. Please use the same token"}`), false, "HTTP 401 (1100: Tokens mismatch."},
		"the other shape":  {says(401, `{"error":"Tokens mismatch","code":1100}`), false, "1100"},
		"throttled":        {says(429, `{"message":"Too Many Attempts."}`, "Retry-After", "60"), false, "HTTP 429"},
		"a login page":     {says(302, "", "Location", "/login"), false, "HTTP 302"},
		"a page it is not": {says(404, "<html>"), false, "endpoints.refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTreeSnap(t)
			f.imported(t)
			f.then(c.answer)
			_, err := f.Refresh(t.Context(), 0)
			f.wantError(t, err, c.dead, c.why)
			want := grant.Active
			if c.dead {
				want = grant.ReauthorizeNeeded
			}
			if g := f.grant(t); g.State != want {
				t.Errorf("state %s (%s), want %s", g.State, g.Reason, want)
			}
		})
	}
}

// Whatever may have cost the reply, the token never goes to refresh-tokens again before it was seen to work.
func TestTreeSnapLostReply(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(f *fakeTreeSnap) http.HandlerFunc
		alive bool // whether the token still works afterwards
	}{
		"reset after it was carried out":  {func(f *fakeTreeSnap) http.HandlerFunc { return f.lost }, false},
		"reset before it was carried out": {func(*fakeTreeSnap) http.HandlerFunc { return reset }, true},
		"500 after it was carried out": {func(f *fakeTreeSnap) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				defer func() { _ = recover(); says(500, "Whoops")(w, r) }()
				f.lost(w, r)
			}
		}, false},
		"503 before it was carried out": {func(*fakeTreeSnap) http.HandlerFunc { return says(503, "maintenance") }, true},
		"201 without a token": {func(*fakeTreeSnap) http.HandlerFunc {
			return says(201, `{"error_code":0,"message":"Tokens updated successfully"}`)
		}, true},
		"a web page": {func(*fakeTreeSnap) http.HandlerFunc { return says(200, "<html>hello") }, true},
		"huge":       {func(*fakeTreeSnap) http.HandlerFunc { return says(201, strings.Repeat("x", 10<<20)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTreeSnap(t)
			f.imported(t)
			f.age(t, 340*day)
			f.then(c.fault(f))
			if got := f.token(t); got.Generation != 1 {
				t.Errorf("generation %d: the token it has is served meanwhile", got.Generation)
			}
			if s, err := f.Status(); err != nil || s.State != grant.RefreshOutcomeUnknown || s.Reason == "" || !s.Fix.Empty() {
				t.Errorf("%+v, %v", s, err)
			}
			if _, err := f.Refresh(t.Context(), 0); err == nil {
				t.Error("refreshed at once")
			} else if e, ok := errors.AsType[*auth.Error](err); !ok || time.Until(e.RetryAt) < 50*time.Second {
				t.Errorf("%v: the request may still be under way at the provider", err)
			}
			f.Account = f.again() // Without the backoff.
			if c.alive {
				if got := f.token(t); got.Generation != 2 {
					t.Errorf("generation %d", got.Generation)
				}
				if !strings.Contains(f.log.String(), "still works after a lost answer") {
					t.Error("nobody is told what became of the lost answer")
				}
				if n := len(f.seen("/refresh-tokens")); n != 2 {
					t.Errorf("%d refreshes, want 2", n)
				}
			} else {
				_, err := f.Token(t.Context())
				f.wantError(t, err, true, "login needed", "was lost", "carried out and its token is lost", "relay auth import mystream")
				_, _ = f.again().Token(t.Context())
				if n := len(f.seen("/refresh-tokens")); n != 1 {
					t.Errorf("%d refreshes, want 1", n)
				}
			}
			if n := len(f.seen("/my-observations")); n != 2 { // One at the import.
				t.Errorf("%d probes, want 2", n)
			}
		})
	}
}

func TestTreeSnapExpired(t *testing.T) {
	f := newTreeSnap(t)
	f.imported(t)
	f.age(t, 366*day)
	_, err := f.Token(t.Context())
	f.wantError(t, err, true, "login needed", "an expired one cannot be refreshed", "relay auth import mystream")
	if n := len(f.seen("/refresh-tokens")); n != 0 {
		t.Errorf("%d refreshes, want 0", n)
	}
}
