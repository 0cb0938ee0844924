package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const redirectURI = "http://localhost:8919/callback?keep=1"

// start runs a server for one test.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// browser speaks to a server and follows no redirect. It closes what it opened.
func browser(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// field is a text of a JSON object, "" when there is none.
func (a answer) field(name string) string {
	var object map[string]any
	_ = json.Unmarshal([]byte(a.body), &object)
	text, _ := object[name].(string)
	return text
}

func do(t *testing.T, c *http.Client, method, target, contentType, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func get(t *testing.T, c *http.Client, target string) answer {
	t.Helper()
	return do(t, c, http.MethodGet, target, "", "")
}

func postForm(t *testing.T, c *http.Client, target string, form url.Values) answer {
	t.Helper()
	return do(t, c, http.MethodPost, target, "application/x-www-form-urlencoded", form.Encode())
}

func loginQuery() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {DefaultClientID}, "redirect_uri": {redirectURI},
		"scope": {"userinfo"}, "state": {"st&te=1"},
	}
}

// code logs in and returns the code.
func code(t *testing.T, c *http.Client, s *Server) string {
	t.Helper()
	a := get(t, c, s.Endpoints().Authorize+"?"+loginQuery().Encode())
	to, err := url.Parse(a.header.Get("Location"))
	if a.status != http.StatusFound || err != nil {
		t.Fatalf("authorize answered %d, Location %q, %s", a.status, a.header.Get("Location"), a.body)
	}
	return to.Query().Get("code")
}

func exchangeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {DefaultClientID},
		"client_secret": {DefaultClientSecret}, "redirect_uri": {redirectURI}, "scope": {"userinfo"},
	}
}

func refreshForm(token string) url.Values {
	return url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {DefaultClientID},
		"client_secret": {DefaultClientSecret},
	}
}

// grant goes the whole way to an access token.
func grant(t *testing.T, c *http.Client, s *Server) (access string) {
	t.Helper()
	a := postForm(t, c, s.Endpoints().Token, exchangeForm(code(t, c, s)))
	if a.status != http.StatusOK || a.field("access_token") == "" || a.field("refresh_token") == "" {
		t.Fatalf("exchange answered %d %s", a.status, a.body)
	}
	return a.field("access_token")
}

// ticket returns a fresh socket token.
func ticket(t *testing.T, c *http.Client, s *Server, access string) string {
	t.Helper()
	a := postForm(t, c, s.Endpoints().SocketToken, url.Values{"client_id": {DefaultClientID}, "access_token": {access}})
	if a.status != http.StatusOK || a.field("socket_token") == "" {
		t.Fatalf("socketToken answered %d %s", a.status, a.body)
	}
	return a.field("socket_token")
}

func want(t *testing.T, what string, a answer, status int, code string) {
	t.Helper()
	if a.status != status || a.field("error") != code {
		t.Errorf("%s answered %d %s, want %d with error %q", what, a.status, a.body, status, code)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s may be cached", what)
	}
}

// TestLogHoldsNoSecret does everything once with the most talkative log.
func TestLogHoldsNoSecret(t *testing.T) {
	var log strings.Builder
	s := start(t, Config{Log: zerolog.New(zerolog.SyncWriter(&log))})
	c := browser(t)
	login := code(t, c, s)
	a := postForm(t, c, s.Endpoints().Token, exchangeForm(login))
	access, refresh := a.field("access_token"), a.field("refresh_token")
	get(t, c, s.Endpoints().History+"/"+access)
	get(t, c, s.Endpoints().History+"?access_token="+access)
	socket := ticket(t, c, s, access)
	p := dial(t, s, "3", socket)
	session := p.handshake().SID
	p.expect("40")
	dial(t, s, "3", socket).handshake()
	get(t, c, s.URL()+"/socket.io/?EIO=3&transport=websocket&token="+socket)
	postForm(t, c, s.Endpoints().Refresh, refreshForm(refresh))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "\n"); n < 8 {
		t.Errorf("the log has %d lines only:\n%s", n, log.String())
	}
	for _, text := range []string{login, access, refresh, socket, session, DefaultClientSecret} {
		if strings.Contains(log.String(), text) {
			t.Errorf("a secret is in the log:\n%s", log.String())
		}
	}
}
