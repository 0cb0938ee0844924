package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/webtest"
)

// planted begins every secret that this test chooses. No page, answer, URL, log line or metric may have it.
const planted = "PLANTED"

// exchange is a request to relay's pages, and the answer.
type exchange struct {
	url, header string
	body        bytes.Buffer
}

// traffic is a reverse proxy in front of the pages that keeps everything that passes.
type traffic struct {
	url string
	mu  sync.Mutex
	all []*exchange
}

// record starts a traffic in front of the pages at a URL.
func record(t *testing.T, pages string) *traffic {
	t.Helper()
	target, err := url.Parse(pages)
	if err != nil {
		t.Fatal(err)
	}
	r := &traffic{}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1, Transport: &http.Transport{DisableCompression: true},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: func(resp *http.Response) error {
			e := &exchange{url: resp.Request.Method + " " + resp.Request.URL.String()}
			for name, values := range resp.Header {
				if name != "Set-Cookie" { // the only place where the token of a session belongs
					e.header += name + ": " + strings.Join(values, ", ") + "\n"
				}
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, e)
			resp.Body = recorded{resp.Body, r, e}
			return nil
		},
	})
	t.Cleanup(func() { proxy.CloseClientConnections(); proxy.Close() })
	r.url = proxy.URL
	return r
}

// recorded is the body of an answer. Reading it records it.
type recorded struct {
	io.ReadCloser
	to *traffic
	e  *exchange
}

func (b recorded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.to.mu.Lock()
	defer b.to.mu.Unlock()
	b.e.body.Write(p[:n])
	return n, err
}

// visitor is somebody who sends requests through the traffic.
type visitor struct {
	t      *testing.T
	to     *traffic
	header http.Header
}

func (v *visitor) send(method, path, body string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.to.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header = v.header.Clone()
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer io.Reader = resp.Body
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		answer = io.LimitReader(resp.Body, 20) // it does not end
	}
	text, err := io.ReadAll(answer)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(text)
}

// logIn logs in, and returns the token of the session.
func (v *visitor) logIn(with map[string]string) string {
	v.t.Helper()
	body, err := json.Marshal(with)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, text := v.send(http.MethodPost, "/session", string(body))
	all := resp.Cookies()
	if resp.StatusCode != http.StatusNoContent || len(all) != 1 {
		v.t.Fatalf("log in: %s, %d cookies, %s", resp.Status, len(all), text)
	}
	v.header.Set("Cookie", all[0].Name+"="+all[0].Value)
	return all[0].Value
}

// visit sends every request of the API once, and fetches every page and its files. It returns how many answers were no refusal.
func (v *visitor) visit(event string) (answered int) {
	v.t.Helper()
	fill := func(path string) string {
		name := "hook"
		if strings.HasPrefix(path, "/overlays/") {
			name = "main"
		}
		return strings.NewReplacer("{name}", name, "{number}", "1", "{id}", event, "{account}", "mystream", "{file}", "pizza.png").Replace(path)
	}
	for _, o := range api.Operations() {
		body := ""
		switch {
		case strings.HasSuffix(o.Path, "/paste"):
			body = `{"address":"http://127.0.0.1/callback?code=` + planted + `-code&state=x"}`
		case strings.HasSuffix(o.Path, "/keys"):
			continue // its answer is the key
		case o.Request != nil:
			body = "{}"
		}
		resp, _ := v.send(o.Method, api.Root+fill(o.Path), body)
		if resp.StatusCode < 300 {
			answered++
		}
	}
	paths := []string{"/", "/overlay/main", "/healthz", "/readyz", "/metrics", "/session", "/nothing", api.Root + "/nothing"}
	err := fs.WalkDir(web.Assets(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, "/assets/"+path)
		}
		return err
	})
	if err != nil {
		v.t.Fatal(err)
	}
	for _, path := range paths {
		v.send(http.MethodGet, path, "")
	}
	return answered
}

// guardedWorld is a world with every kind of secret in its configuration, and with receivers that repeat what they get.
type guardedWorld struct {
	*world
	process *process
	to      *traffic
	secrets []string
}

func newGuardedWorld(t *testing.T) *guardedWorld {
	t.Helper()
	s := &guardedWorld{world: newWorld(t, simulatedRealtime)}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, "no: %s %v", r.URL, r.Header)
	}))
	t.Cleanup(echo.Close)
	owner, moderator := filepath.Join(s.dir, "owner"), filepath.Join(s.dir, "moderator")
	for path, text := range map[string]string{owner: planted + "-owner-password", moderator: planted + "-moderator-password"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pages := s.pages()
	s.configure(func(c *settings) {
		c.HTTP.PasswordFile, c.HTTP.ModeratorPasswordFile, c.HTTP.TrustedProxies = owner, moderator, []string{"127.0.0.1"}
		c.Overlays = map[string]overlaySettings{"main": quickOverlay()}
	})
	s.addExample("hook: {type: webhook, url: '" + echo.URL + "/PLANTED-path?token=PLANTED-query', secret: " + webhookSecret + ", headers: {Authorization: Bearer PLANTED-header}}")
	s.addExample("bearer: {type: webhook, url: '" + echo.URL + "/bearer', secret: " + webhookSecret + ", account: mystream}")
	s.addExample("proxied: {type: webhook, url: 'https://bot.example/PLANTED-proxied', secret: " + webhookSecret + ", proxy: 'http://user:PLANTED-proxy@127.0.0.1:1'}")
	s.addExample("chat: {type: discord, url: '" + echo.URL + "/api/webhooks/1/PLANTED-discord'}")
	s.addExample("team: {type: slack, url: '" + echo.URL + "/services/T0/B0/PLANTED-slack'}")
	s.addExample("far: {type: nats, stream: FAR, url: 'nats://127.0.0.1:1', user: relay, password: PLANTED-nats}")
	s.login()
	s.process = s.start("--log-level", "trace")
	s.connected()
	s.to = record(t, pages)
	s.live.emit(0, 3)
	eventually(t, func() error {
		for _, one := range s.snapshot().Sinks {
			if tried := one.Failures > 0 || one.DeadLetters != nil && *one.DeadLetters > 0; !tried && slices.Contains([]string{"hook", "bearer", "proxied", "chat", "team", "far"}, one.Sink) {
				return fmt.Errorf("%s has not failed yet", one.Sink)
			}
		}
		return nil
	})
	grant := s.grant("mystream")
	identity, err := os.ReadFile(s.identity)
	if err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, planted, simulator.DefaultClientSecret, webhookSecret, strings.TrimPrefix(webhookSecret, "whsec_"),
		grant.AccessToken.Reveal(), grant.RefreshToken.Reveal(), s.overlayLogin().Password, regexp.MustCompile(`AGE-SECRET-KEY-\S+`).FindString(string(identity)))
	return s
}

// link returns the token of a link that logs in once.
func (s *guardedWorld) link(role api.Role) string {
	s.t.Helper()
	_, token, _ := strings.Cut(s.dashboardLink(role), "#link=")
	s.secrets = append(s.secrets, token)
	return token
}

// check fails the test for each secret in what relay has said since it began.
func (s *guardedWorld) check(more ...string) {
	s.t.Helper()
	// At its first start relay tells the operator, on stderr, how overlay backends log in.
	notice := regexp.MustCompile(`(?m)^Overlay backends connect to \S+$`)
	said := map[string]string{"the log": notice.ReplaceAllString(s.process.err.text(), ""), "stdout": s.process.out.text(), "the page": strings.Join(more, "\n")}
	s.to.mu.Lock()
	for _, e := range s.to.all {
		said[e.url] += e.url + "\n" + e.header + e.body.String()
	}
	s.to.mu.Unlock()
	for _, secret := range s.secrets {
		if len(secret) < 7 {
			s.t.Fatalf("a secret of %d characters is none", len(secret))
		}
		quoted := quoteJS(secret)
		for _, form := range []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1],
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			for where, text := range said {
				if at := strings.Index(text, form); at >= 0 {
					s.t.Errorf("%s has a secret: ...%s...", where, text[max(0, at-80):min(len(text), at+len(form)+20)])
				}
			}
		}
	}
}

// No secret is in a page, an answer, a URL, a log line or a metric, whoever asks.
func TestNoSecretIsServed(t *testing.T) {
	s := newGuardedWorld(t)
	v := func() *visitor { return &visitor{t, s.to, http.Header{}} }
	owner, moderator, program, nobody := v(), v(), v(), v()
	s.secrets = append(s.secrets, owner.logIn(map[string]string{"link": s.link(api.Owner)}), moderator.logIn(map[string]string{"password": planted + "-moderator-password"}))
	again := v()
	s.secrets = append(s.secrets, again.logIn(map[string]string{"password": planted + "-owner-password"}))
	key, err := s.client().NewOverlayKey(t.Context(), "main", api.KeyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, key.Key)
	program.header.Set("Authorization", "Bearer "+key.Key)
	for _, body := range []string{`{"password":"` + planted + `-wrong"}`, `{"link":"` + planted + `-wrong"}`, `{"link":"` + planted + `","more":1}`, planted} {
		nobody.send(http.MethodPost, "/session", body)
	}
	events := s.journaledTitles()
	if len(events) < 3 {
		t.Fatalf("the journal has %q", events)
	}
	id := s.journalRecords()[0].ID
	for name, one := range map[string]struct {
		visitor *visitor
		least   int
	}{"owner": {owner, 25}, "moderator": {moderator, 12}, "program": {program, 1}, "nobody": {nobody, 0}} {
		if n := one.visitor.visit(id); n < one.least {
			t.Errorf("%s gets %d answers, want at least %d", name, n, one.least)
		}
	}
	strangeKey := v()
	strangeKey.header.Set("Authorization", "Bearer rok_"+planted)
	strangeKey.send(http.MethodGet, api.Root+"/events", "")
	again.send(http.MethodDelete, "/session", "")
	s.check()
	s.process.stop()
	s.check()
}

// No view of the dashboard and no overlay shows a secret, keeps one in the browser, or sends one in a URL.
func TestNoSecretIsInAPage(t *testing.T) {
	browser := webtest.Start(t)
	s := newGuardedWorld(t)
	var shown []string
	see := func(tab *webtest.Tab) {
		shown = append(shown, tab.Text("location.href.split('#key')[0] + document.documentElement.outerHTML + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"))
	}
	for role, views := range map[api.Role][]string{
		api.Owner:     {"now", "overlays", "history", "deadletters", "attempts", "test", "config"},
		api.Moderator: {"now", "overlays", "history", "deadletters", "attempts"},
	} {
		d := dashboard{browser.Open(s.to.url+"/#link="+s.link(role), webtest.Options{Width: 1440, Height: 1000})}
		d.WaitFor("!location.href.includes('link=')")
		for _, view := range append(views, "event/"+s.journalRecords()[0].ID) {
			d.show(view, "")
			see(d.Tab)
		}
		d.Close()
	}
	key := s.newKey("main")
	s.secrets = append(s.secrets, key)
	overlay := browser.Open(s.to.url+"/overlay/main#"+key, webtest.Options{})
	s.awaitPages(1)
	shown = append(shown, overlay.Text("document.documentElement.outerHTML + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"))
	overlay.Close()
	s.check(shown...)
	s.process.stop()
}
