package web

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/web/session"
)

func asJSON(r *http.Request) { r.Header.Set("Content-Type", "application/json") }

// logIn sends a request to log in, and returns the cookie.
func (s *site) logIn(body string, senders ...who) (reply, *http.Cookie) {
	s.t.Helper()
	got := s.do(http.MethodPost, "/session", body, append([]who{asJSON}, senders...)...)
	all := got.Cookies()
	if (got.StatusCode == http.StatusNoContent) != (len(all) == 1) {
		s.t.Errorf("status %d with %d cookies", got.StatusCode, len(all))
	}
	if len(all) == 0 {
		return got, nil
	}
	return got, all[0]
}

func TestCookie(t *testing.T) {
	cfg := config(t)
	cfg.PublicURL = "https://relay.example.com"
	s := serve(t, cfg)
	for _, one := range []struct {
		host, name string
		secure     bool
	}{{"127.0.0.1:8350", "relay_session_8350", false}, {"relay.example.com", "relay_session", true}} {
		_, c := s.logIn(`{"password":"`+ownerPassword+`"}`, header("Host", one.host))
		if c == nil || c.Name != one.name || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" ||
			c.Secure != one.secure || c.MaxAge != int(session.Lifetime.Seconds()) || len(c.Value) != 43 {
			t.Errorf("by %s: the cookie is %v", one.host, c)
		}
	}
	cfg.TLS = true
	if _, c := serve(t, cfg).logIn(`{"password":"` + ownerPassword + `"}`); c == nil || !c.Secure {
		t.Errorf("with TLS: the cookie is %v", c)
	}
}

func TestLogInAndOut(t *testing.T) {
	s := serve(t, config(t))
	for _, one := range []struct{ body, role string }{
		{`{"password":"` + ownerPassword + `"}`, "owner"},
		{`{"password":"` + moderatorPassword + `"}`, "moderator"},
		{`{"link":"` + s.sessions.NewLink(session.Owner).Reveal() + `"}`, "owner"},
		{`{"link":"` + s.sessions.NewLink(session.Moderator).Reveal() + `"}`, "moderator"},
	} {
		got, c := s.logIn(one.body)
		if c == nil {
			t.Fatalf("as %s: status %d: %s", one.role, got.StatusCode, got.body)
		}
		cookie := withCookie(c.Value)
		if got := s.do(http.MethodGet, "/session", "", cookie); got.StatusCode != http.StatusOK || got.body != `{"role":"`+one.role+`"}`+"\n" {
			t.Errorf("GET /session as %s: status %d: %s", one.role, got.StatusCode, got.body)
		}
		out := s.do(http.MethodDelete, "/session", "", cookie)
		if all := out.Cookies(); out.StatusCode != http.StatusNoContent || len(all) != 1 || all[0].MaxAge >= 0 || all[0].Value != "" || !all[0].HttpOnly {
			t.Errorf("DELETE /session: status %d, cookies %v", out.StatusCode, all)
		}
		got = s.do(http.MethodGet, "/session", "", cookie)
		if p := got.problem(t); got.StatusCode != http.StatusUnauthorized || !strings.Contains(p.Fix, "relay dashboard") {
			t.Errorf("GET /session after it: status %d, %+v", got.StatusCode, p)
		}
	}
}

// Who logs in again has one session, not two.
func TestLogInEndsTheSessionBefore(t *testing.T) {
	s := serve(t, config(t))
	_, first := s.logIn(`{"password":"` + moderatorPassword + `"}`)
	s.logIn(`{"password":"`+ownerPassword+`"}`, withCookie(first.Value))
	if s.sessions.Role(first.Value) != session.None {
		t.Error("the session before lives on")
	}
}

func TestLinkIsUsedOnce(t *testing.T) {
	s := serve(t, config(t))
	body := `{"link":"` + s.sessions.NewLink(session.Owner).Reveal() + `"}`
	if got, c := s.logIn(body); c == nil {
		t.Fatalf("first use: status %d: %s", got.StatusCode, got.body)
	}
	got, _ := s.logIn(body)
	if p := got.problem(t); got.StatusCode != http.StatusUnauthorized || !strings.HasSuffix(p.Type, ":login-refused") || !strings.Contains(p.Fix, "relay dashboard") {
		t.Errorf("second use: status %d, %+v", got.StatusCode, p)
	}
}

func TestLinkIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config(t)
		h, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		link := cfg.Sessions.NewLink(session.Owner).Reveal()
		time.Sleep(session.LinkLife + time.Second)
		r := httptest.NewRequest(http.MethodPost, "http://localhost/session", strings.NewReader(`{"link":"`+link+`"}`))
		asJSON(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) > 0 {
			t.Errorf("status %d, cookies %v", w.Code, w.Result().Cookies())
		}
	})
}

func TestPasswordsCannotBeGuessed(t *testing.T) {
	s := serve(t, config(t))
	statuses := make(map[int]int)
	var last reply
	for range 200 {
		last, _ = s.logIn(`{"password":"a wrong password"}`)
		statuses[last.StatusCode]++
		if last.StatusCode == http.StatusTooManyRequests {
			break
		}
	}
	if statuses[http.StatusTooManyRequests] == 0 || statuses[http.StatusUnauthorized] > 10 {
		t.Errorf("the answers were %v", statuses)
	}
	wait, err := strconv.Atoi(last.Header.Get("Retry-After"))
	if p := last.problem(t); err != nil || wait < 1 || wait > 60 || !strings.HasSuffix(p.Type, ":too-many-attempts") {
		t.Errorf("Retry-After %q, %+v", last.Header.Get("Retry-After"), p)
	}
	if got, _ := s.logIn(`{"password":"` + ownerPassword + `"}`); got.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right password: status %d, want 429", got.StatusCode)
	}
	if got, _ := s.logIn(`{"link":"` + s.sessions.NewLink(session.Owner).Reveal() + `"}`); got.StatusCode != http.StatusNoContent {
		t.Errorf("a link: status %d, want 204", got.StatusCode)
	}
	if text := s.log.String(); strings.Count(text, "was refused") != 1 || strings.Count(text, "too many attempts") != 1 {
		t.Errorf("the log mentions each kind other than once: %s", text)
	}
}

func TestRequestsToLogInThatAreWrong(t *testing.T) {
	s := serve(t, config(t))
	for body, want := range map[string]int{
		"": 400, "{}": 400, "null": 400, `[]`: 400, `{"link":"a","password":"b"}`: 400, `{"password":1}`: 400, `{"password":"a","role":"owner"}`: 400,
		`{"password":"a"}{"password":"b"}`: 400, `{"password":"a"`: 400, `{"password":"` + strings.Repeat("a", maxLogin) + `"}`: 413,
	} {
		if got, _ := s.logIn(body); got.StatusCode != want {
			t.Errorf("%.40s: status %d, want %d", body, got.StatusCode, want)
		} else {
			got.problem(t)
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"} {
		if got := s.do(http.MethodPost, "/session", `{"password":"`+ownerPassword+`"}`, header("Content-Type", kind)); got.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("Content-Type %q: status %d, want 415", kind, got.StatusCode)
		}
	}
	if got := s.do(http.MethodPut, "/session", ""); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD, POST, DELETE" {
		t.Errorf("PUT: status %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
}

func TestNoPasswordIsSet(t *testing.T) {
	cfg := config(t)
	var err error
	if cfg.Sessions, err = session.New(session.Config{}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, cfg)
	got, _ := s.logIn(`{"password":"` + ownerPassword + `"}`)
	if p := got.problem(t); got.StatusCode != http.StatusForbidden || !strings.Contains(p.Fix, "http.password_file") {
		t.Errorf("status %d, %+v", got.StatusCode, p)
	}
	if p := s.do(http.MethodGet, "/session", "").problem(t); p.Fix != "run relay dashboard" {
		t.Errorf("the fix is %q", p.Fix)
	}
}

// origins are the headers by which a browser says where a request comes from.
func origins(url string) map[string][]who {
	return map[string][]who{
		"another site":              {header("Sec-Fetch-Site", "cross-site"), header("Origin", "https://evil.example")},
		"another port":              {header("Sec-Fetch-Site", "same-site"), header("Origin", "http://127.0.0.1:3000")},
		"a sandboxed page":          {header("Sec-Fetch-Site", "cross-site"), header("Origin", "null")},
		"another site, old browser": {header("Origin", "https://evil.example")},
		"another port, old browser": {header("Origin", "http://127.0.0.1:3000")},
		"sandboxed, old browser":    {header("Origin", "null")},
		"a lying origin":            {header("Sec-Fetch-Site", "cross-site"), header("Origin", url)},
	}
}

// A page of another origin makes the browser of somebody who is logged in send requests.
func TestCrossOriginRequestsWithTheCookie(t *testing.T) {
	s := serve(t, config(t))
	owner := s.as(session.Owner)
	link := `{"link":"` + s.sessions.NewLink(session.Owner).Reveal() + `"}`
	for name, from := range origins(s.url) {
		from = append(from, owner, asJSON)
		for _, o := range operations() {
			method, path := o.sample("main")
			if method == http.MethodGet && strings.Contains(name, "old browser") { // it may send the request, but its page may not read the answer
				if got := s.do(method, path, "", from...); got.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: %s %s may be read", name, method, path)
				}
				continue
			}
			if got := s.do(method, path, "", from...); got.StatusCode != http.StatusForbidden || !strings.HasSuffix(got.problem(t).Type, ":cross-origin") {
				t.Errorf("%s: %s %s: status %d, want 403", name, method, path, got.StatusCode)
			}
		}
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			if got := s.do(method, "/session", link, from...); got.StatusCode != http.StatusForbidden || len(got.Cookies()) > 0 {
				t.Errorf("%s: %s /session: status %d, want 403", name, method, got.StatusCode)
			}
		}
	}
	for name, from := range map[string][]who{
		"relay's own page":              {header("Sec-Fetch-Site", "same-origin"), header("Origin", s.url)},
		"relay's own page, old browser": {header("Origin", s.url)},
		"the address bar":               {header("Sec-Fetch-Site", "none")},
		"a program":                     {},
	} {
		if got := s.do(http.MethodPost, "/api/v1/replay", "{}", append(from, owner)...); got.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d, want 200", name, got.StatusCode)
		}
	}
}

// Behind a proxy that changes the host, an old browser sends the public origin.
func TestPublicOrigin(t *testing.T) {
	cfg := config(t)
	cfg.PublicURL = "https://Relay.Example.com/"
	s := serve(t, cfg)
	owner := s.as(session.Owner)
	for origin, want := range map[string]int{"https://relay.example.com": 200, "http://relay.example.com": 403, "https://relay.example.com.evil.example": 403} {
		if got := s.do(http.MethodPost, "/api/v1/replay", "{}", owner, header("Origin", origin)); got.StatusCode != want {
			t.Errorf("Origin %s: status %d, want %d", origin, got.StatusCode, want)
		}
	}
}

// A page of any origin may use a key, and nothing else.
func TestCrossOriginRequestsWithAKey(t *testing.T) {
	s := serve(t, config(t))
	foreign := []who{header("Sec-Fetch-Site", "cross-site"), header("Origin", "null")}
	for _, one := range []struct {
		method, path string
		as           who
		status       int
		readable     bool
	}{
		{http.MethodGet, "/api/v1/events", withKey(keyOfMain), 200, true},
		{http.MethodPost, "/api/v1/overlays/main/shown", withKey(keyOfMain), 200, true},
		{http.MethodPost, "/api/v1/overlays/second/shown", withKey(keyOfMain), 403, true},
		{http.MethodGet, "/api/v1/events", withKey("wrong"), 401, true},
		{http.MethodGet, "/api/v1/events", nobody, 403, false},
		{http.MethodGet, "/api/v1/events", s.as(session.Owner), 403, false},
		{http.MethodGet, "/session", s.as(session.Owner), 403, false},
		{http.MethodGet, "/", nobody, 200, false},
	} {
		got := s.do(one.method, one.path, "", append(foreign, one.as)...)
		readable := got.Header.Get("Access-Control-Allow-Origin") == "*"
		if got.StatusCode != one.status || readable != one.readable || got.Header.Get("Access-Control-Allow-Credentials") != "" || len(got.Cookies()) > 0 {
			t.Errorf("%s %s: status %d, headers %v", one.method, one.path, got.StatusCode, got.Header)
		}
	}
}

func TestPreflight(t *testing.T) {
	s := serve(t, config(t))
	for _, o := range append(operations(), operation{"GET /session", session.None}, operation{"GET /", session.None}) {
		method, path := o.sample("main")
		got := s.do(http.MethodOptions, path, "", header("Origin", "null"), header("Access-Control-Request-Method", method),
			header("Access-Control-Request-Headers", "authorization,last-event-id"), header("Access-Control-Request-Private-Network", "true"))
		want := ""
		if o.least == session.Key {
			want = "*"
		}
		if got.Header.Get("Access-Control-Allow-Origin") != want || got.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: headers %v", o.pattern, got.Header)
		}
		if want == "" {
			continue
		}
		for name, value := range map[string]string{
			"Access-Control-Allow-Methods": method, "Access-Control-Allow-Headers": "Authorization, Last-Event-ID, Content-Type", "Access-Control-Allow-Private-Network": "true",
		} {
			if got.StatusCode != http.StatusNoContent || got.Header.Get(name) != value {
				t.Errorf("%s: status %d, %s %q, want %q", o.pattern, got.StatusCode, name, got.Header.Get(name), value)
			}
		}
	}
	if got := s.do(http.MethodOptions, "/api/v1/events", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("OPTIONS without an origin: status %d", got.StatusCode)
	}
	got := s.do(http.MethodOptions, "/api/v1/events", "", header("Origin", "null"), header("Access-Control-Request-Method", "GET"), header("Host", "evil.example"))
	if got.StatusCode != http.StatusMisdirectedRequest || got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign host: status %d, headers %v", got.StatusCode, got.Header)
	}
}

// No secret is in the log, in a problem, or in a URL or header that reaches the API.
func TestSecretsStayHidden(t *testing.T) {
	cfg := config(t)
	var arrived []string
	inner := cfg.API
	cfg.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := json.Marshal(r.Header)
		arrived = append(arrived, r.URL.String()+" "+string(text))
		inner.ServeHTTP(w, r)
	})
	s := serve(t, cfg)
	link := s.sessions.NewLink(session.Owner).Reveal()
	secrets := []string{ownerPassword, moderatorPassword, keyOfMain, keyOfAlice, link, "a wrong password", "a wrong link", "rok_wrong"}
	var answers []string
	add := func(r reply) {
		text, _ := json.Marshal(r.Header)
		answers = append(answers, r.body+string(text))
	}
	for _, body := range []string{
		`{"password":"` + moderatorPassword + `"}`, `{"password":"a wrong password"}`, `{"link":"a wrong link"}`, `{"a wrong password":"x"}`, `{"link":"` + link + `"}`,
		`{"link":"` + link + `"}`, `{"password":"a wrong password`,
	} {
		got, c := s.logIn(body)
		if c != nil {
			secrets = append(secrets, c.Value)
			add(s.do(http.MethodGet, "/api/v1/status", "", withCookie(c.Value)))
			add(s.do(http.MethodGet, "/api/v1/config", "", withCookie(c.Value)))
			got.Header.Del("Set-Cookie")
		}
		add(got)
	}
	for _, key := range []string{keyOfMain, keyOfAlice, "rok_wrong"} {
		add(s.do(http.MethodGet, "/api/v1/events", "", withKey(key)))
		add(s.do(http.MethodGet, "/api/v1/status", "", withKey(key)))
	}
	all := strings.Join(slices.Concat(arrived, answers, []string{s.log.String()}), "\n")
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("%q is in:\n%s", secret, all)
		}
	}
	if len(arrived) != 5 || !strings.Contains(s.log.String(), "logged in") {
		t.Errorf("%d requests arrived, want 5; the log is %s", len(arrived), s.log.String())
	}
}

// A body that stops arriving does not hold a request for ever.
func TestSlowBody(t *testing.T) {
	problems := make(chan *problem.Problem, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, p := readBody(w, r, 100, 50*time.Millisecond)
		problems <- p
	}))
	defer server.Close()
	body, sender := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = sender.Write([]byte("{")) }()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if res, err := server.Client().Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	select {
	case p := <-problems:
		if p == nil || p.Status != http.StatusRequestTimeout {
			t.Errorf("the problem is %+v", p)
		}
	case <-time.After(time.Minute):
		t.Error("the body is still awaited")
	}
	_ = sender.Close()
	<-sent
}
