package simulator

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoginExchangeRefresh(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	a := get(t, c, s.Endpoints().Authorize+"?"+loginQuery().Encode())
	to, _ := url.Parse(a.header.Get("Location"))
	q := to.Query()
	if a.status != http.StatusFound || q.Get("state") != "st&te=1" || q.Get("keep") != "1" || to.Host != "localhost:8919" {
		t.Fatalf("authorize answered %d, Location %v", a.status, to)
	}

	first := postForm(t, c, s.Endpoints().Token, exchangeForm(q.Get("code")))
	var got map[string]any
	if err := json.Unmarshal([]byte(first.body), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "access_token")
	delete(got, "refresh_token")
	wanted := map[string]any{"expires_in": 2592000.0, "token_type": "Bearer", "scope": "userinfo"}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("the exchange's reply (-want +got):\n%s", diff)
	}
	want(t, "using a code again", postForm(t, c, s.Endpoints().Token, exchangeForm(q.Get("code"))), 400, "invalid_grant")

	second := postForm(t, c, s.Endpoints().Refresh, refreshForm(first.field("refresh_token")))
	if second.status != 200 || second.field("refresh_token") == first.field("refresh_token") {
		t.Errorf("refresh answered %d %s, want a new refresh token", second.status, second.body)
	}
	want(t, "a rotated refresh token", postForm(t, c, s.Endpoints().Refresh, refreshForm(first.field("refresh_token"))),
		400, "invalid_grant")
	third := postForm(t, c, s.Endpoints().Refresh, refreshForm(second.field("refresh_token")))
	want(t, "the new refresh token", third, 200, "")

	s.RevokeAll()
	want(t, "a revoked refresh token", postForm(t, c, s.Endpoints().Refresh, refreshForm(third.field("refresh_token"))),
		400, "invalid_grant")
	want(t, "a revoked access token", get(t, c, s.Endpoints().History+"/"+third.field("access_token")), 401, "invalid_token")

	if got := s.Stats(); got.Authorize != 1 || got.Token != 2 || got.Refresh != 4 || got.History != 1 {
		t.Errorf("Stats = %+v", got)
	}
}

func TestBodiesMayBeJSON(t *testing.T) {
	s, c := start(t, Config{ClientID: "mine", ClientSecret: "hush"}), browser(t)
	q := loginQuery()
	q.Set("client_id", "mine")
	to, _ := url.Parse(get(t, c, s.Endpoints().Authorize+"?"+q.Encode()).header.Get("Location"))
	body, _ := json.Marshal(map[string]string{
		"grant_type": "authorization_code", "code": to.Query().Get("code"), "client_id": "mine", "client_secret": "hush",
		"redirect_uri": redirectURI, "scope": "userinfo",
	})
	a := do(t, c, http.MethodPost, s.Endpoints().Token, "application/json; charset=utf-8", string(body))
	want(t, "an exchange in JSON", a, 200, "")
	body, _ = json.Marshal(map[string]string{"client_id": "mine", "access_token": a.field("access_token")})
	want(t, "a socket token in JSON", do(t, c, http.MethodPost, s.Endpoints().SocketToken, "application/json", string(body)), 200, "")
}

func TestAuthorizeRefuses(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	for _, tc := range []struct{ key, value, says string }{
		{"response_type", "token", "response_type"},
		{"client_id", "other", "client_id"},
		{"client_id", "<script>", "client_id"},
		{"scope", "", "scope"},
		{"state", "", "state"},
		{"redirect_uri", "", "missing"},
		{"redirect_uri", "https://evil.example/", "http"},
		{"redirect_uri", "http://evil.example/", "loopback"},
		{"redirect_uri", "http://localhost.evil.example/", "loopback"},
		{"redirect_uri", "http://localhost@evil.example/", "user"},
		{"redirect_uri", "javascript:alert(1)", "http"},
		{"redirect_uri", "http://127.0.0.1/#f", "fragment"},
		{"redirect_uri", "http://[::1", "not a URL"},
	} {
		q := loginQuery()
		q.Set(tc.key, tc.value)
		a := get(t, c, s.Endpoints().Authorize+"?"+q.Encode())
		if a.status != 400 || !strings.Contains(a.body, tc.says) || a.header.Get("Location") != "" {
			t.Errorf("%s=%q answered %d %s, want a page about %q", tc.key, tc.value, a.status, a.body, tc.says)
		}
		if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || strings.Contains(a.body, "<script>") {
			t.Errorf("%s=%q: the page is not safe HTML", tc.key, tc.value)
		}
	}
	for _, good := range []string{"http://127.0.0.1:1/", "http://127.8.8.8/x", "http://[::1]:8919/cb", "http://localhost"} {
		q := loginQuery()
		q.Set("redirect_uri", good)
		if a := get(t, c, s.Endpoints().Authorize+"?"+q.Encode()); a.status != http.StatusFound {
			t.Errorf("redirect_uri %s answered %d, want a redirect", good, a.status)
		}
	}
}

func TestExchangeRefuses(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	for _, tc := range []struct {
		key, value string
		status     int
		code       string
	}{
		{"grant_type", "refresh_token", 400, "unsupported_grant_type"},
		{"client_id", "other", 401, "invalid_client"},
		{"client_secret", "guess", 401, "invalid_client"},
		{"code", "guess", 400, "invalid_grant"},
		{"redirect_uri", "http://localhost:8919/other", 400, "invalid_grant"},
		{"scope", "everything", 400, "invalid_scope"},
	} {
		form := exchangeForm(code(t, c, s))
		form.Set(tc.key, tc.value)
		want(t, tc.key+"="+tc.value, postForm(t, c, s.Endpoints().Token, form), tc.status, tc.code)
	}
	stolen := code(t, c, s)
	form := exchangeForm(stolen)
	form.Set("redirect_uri", "http://localhost:1/")
	postForm(t, c, s.Endpoints().Token, form)
	want(t, "a code shown with a wrong address before", postForm(t, c, s.Endpoints().Token, exchangeForm(stolen)), 400, "invalid_grant")
}

func TestHostileRequests(t *testing.T) {
	s, c := start(t, Config{}), browser(t)
	e := s.Endpoints()
	const form, object = "application/x-www-form-urlencoded", "application/json"
	for _, tc := range []struct {
		what, method, url, kind, body string
		status                        int
	}{
		{"a huge form", "POST", e.Token, form, "code=" + strings.Repeat("x", maxBody), 413},
		{"a huge object", "POST", e.Token, object, `{"code":"` + strings.Repeat("x", maxBody), 413},
		{"a huge decision", "POST", e.Authorize, form, strings.Repeat("x", maxBody+1), 413},
		{"bad JSON", "POST", e.Refresh, object, `{"a":`, 400},
		{"another JSON", "POST", e.Refresh, object, `["a"]`, 400},
		{"JSON null", "POST", e.Refresh, object, `null`, 400},
		{"a number in JSON", "POST", e.SocketToken, object, `{"client_id":1}`, 400},
		{"a bad form", "POST", e.Token, form, "code=%zz", 400},
		{"a repeated parameter", "POST", e.Token, form, "code=a&code=b", 400},
		{"no content type", "POST", e.Token, "", "code=a", 400},
		{"a multipart form", "POST", e.Token, "multipart/form-data; boundary=x", "--x--", 400},
		{"GET for POST", "GET", e.Token, "", "", 405},
		{"PUT", "PUT", e.Authorize, "", "", 405},
		{"DELETE of the history", "DELETE", e.History + "/x", "", "", 405},
		{"a stranger's socket token", "POST", e.SocketToken, form, "client_id=" + DefaultClientID + "&access_token=x", 401},
		{"an unknown client", "POST", e.SocketToken, form, "client_id=x&access_token=x", 401},
		{"no access token", "GET", e.History, "", "", 401},
		{"a bad access token", "GET", e.History + "/%00%ff", "", "", 401},
		{"nothing here", "GET", s.URL() + "/", "", "", 404},
	} {
		if a := do(t, c, tc.method, tc.url, tc.kind, tc.body); a.status != tc.status {
			t.Errorf("%s answered %d %s, want %d", tc.what, a.status, a.body, tc.status)
		} else if len(a.body) > 1000 {
			t.Errorf("%s is echoed", tc.what)
		}
	}
}

func TestConsent(t *testing.T) {
	s, c := start(t, Config{Consent: true, Receiver: `A<b> & "C"`}), browser(t)
	ticketOf := func() string {
		t.Helper()
		a := get(t, c, s.Endpoints().Authorize+"?"+loginQuery().Encode())
		found := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(a.body)
		if a.status != 200 || found == nil || strings.Contains(a.body, "A<b>") {
			t.Fatalf("the page is %d %s", a.status, a.body)
		}
		return html.UnescapeString(found[1])
	}
	ask := ticketOf()
	for _, tc := range []struct{ ticket, decision, key string }{
		{ask, "allow", "code"}, {ticketOf(), "deny", "error"}, {ticketOf(), "", "error"},
	} {
		a := postForm(t, c, s.Endpoints().Authorize, url.Values{"ticket": {tc.ticket}, "decision": {tc.decision}})
		to, _ := url.Parse(a.header.Get("Location"))
		if a.status != http.StatusFound || to.Query().Get(tc.key) == "" || to.Query().Get("state") != "st&te=1" {
			t.Errorf("%q answered %d, Location %v", tc.decision, a.status, to)
		}
		if e := to.Query().Get("error"); tc.key == "error" && e != "access_denied" {
			t.Errorf("%q gives the error %q", tc.decision, e)
		}
	}
	a := postForm(t, c, s.Endpoints().Authorize, url.Values{"ticket": {ask}, "decision": {"allow"}})
	if a.status != 400 || !strings.Contains(a.body, "too old") {
		t.Errorf("answering twice gives %d %s", a.status, a.body)
	}
}

// TestLifetimes runs the handlers alone, on the clock of a bubble.
func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := newServer(Config{ExpireToken: 90 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		h := s.handler()
		ask := func(method, target string, form url.Values) answer {
			r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			body, _ := io.ReadAll(w.Body)
			return answer{w.Code, w.Header(), string(body)}
		}
		newCode := func() string {
			to, _ := url.Parse(ask("GET", pathAuthorize+"?"+loginQuery().Encode(), nil).header.Get("Location"))
			return to.Query().Get("code")
		}
		old := newCode()
		time.Sleep(codeLife)
		want(t, "a code of five minutes", ask("POST", pathToken, exchangeForm(old)), 400, "invalid_grant")

		fresh := newCode()
		time.Sleep(codeLife - time.Second)
		a := ask("POST", pathToken, exchangeForm(fresh))
		if a.status != 200 || !strings.Contains(a.body, `"expires_in":90,`) {
			t.Fatalf("exchange answered %d %s", a.status, a.body)
		}
		access := a.field("access_token")
		time.Sleep(89 * time.Second)
		want(t, "a token of 89 s", ask("GET", pathHistory+"/"+access, nil), 200, "")
		st := ask("POST", pathSocketToken, url.Values{"client_id": {DefaultClientID}, "access_token": {access}})
		time.Sleep(time.Second)
		want(t, "a token of 90 s", ask("GET", pathHistory+"?access_token="+access, nil), 401, "invalid_token")
		want(t, "a socket token for it",
			ask("POST", pathSocketToken, url.Values{"client_id": {DefaultClientID}, "access_token": {access}}), 401, "invalid_token")
		time.Sleep(socketLife - time.Second)
		if s.grants.takeSocket(st.field("socket_token")) {
			t.Error("a socket token of a minute is accepted")
		}
		time.Sleep(179 * 24 * time.Hour)
		again := ask("POST", pathRefresh, refreshForm(a.field("refresh_token")))
		want(t, "a refresh token of 179 days", again, 200, "")
		time.Sleep(refreshLife)
		want(t, "a refresh token of 180 days", ask("POST", pathRefresh, refreshForm(again.field("refresh_token"))), 400, "invalid_grant")
	})
}

func TestLedgerForgetsTheOldest(t *testing.T) {
	l := newLedger[int](time.Hour)
	first := l.issue(1)
	second := l.issue(2)
	for range maxIssued - 1 {
		l.issue(0)
	}
	if l.holds(first) || !l.holds(second) || len(l.entries) != maxIssued || len(l.order) != maxIssued {
		t.Errorf("of %d entries the first is held: %v, the second: %v", len(l.entries), l.holds(first), l.holds(second))
	}
	for range 3 * maxIssued {
		l.take(l.issue(0))
	}
	if len(l.order) > maxIssued {
		t.Errorf("%d keys are remembered", len(l.order))
	}
}
