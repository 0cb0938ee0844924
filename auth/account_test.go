package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// The three ways to send parameters, each with everything in its place and nowhere else.
func TestBodyStyles(t *testing.T) {
	for style, want := range map[provider.BodyStyle][3]string{
		provider.Form: {
			"application/x-www-form-urlencoded", "x=1",
			"client_id=client-one&client_secret=" + clientSecret + "&code=c%2B%261&grant_type=authorization_code&redirect_uri=http%3A%2F%2Flocalhost%3A8919%2Fback&scope=userinfo",
		},
		provider.JSON: {
			"application/json", "x=1",
			`{"client_id":"client-one","client_secret":"` + clientSecret + `","code":"c+\u00261","grant_type":"authorization_code","redirect_uri":"http://localhost:8919/back","scope":"userinfo"}`,
		},
		provider.Query: {
			"", "client_id=client-one&client_secret=" + clientSecret + "&code=c%2B%261&grant_type=authorization_code&redirect_uri=http%3A%2F%2Flocalhost%3A8919%2Fback&scope=userinfo&x=1",
			"",
		},
	} {
		t.Run(string(style), func(t *testing.T) {
			store, _ := authtest.NewStore(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if got := [3]string{r.Header.Get("Content-Type"), r.URL.RawQuery, string(body)}; got != want || r.Method != http.MethodPost {
					t.Errorf("%s, got %q\nwant %q", r.Method, got, want)
				}
				says(200, `{"access_token":"canary"}`)(w, r)
			}))
			defer server.Close()
			p, _ := provider.Lookup("treatstream")
			p.Request.Style = style
			cfg := auth.Config{Account: "mystream", Provider: p, ClientID: clientID, ClientSecret: secret.New(clientSecret), RedirectURL: redirectURL}
			cfg.Endpoints.Token = server.URL + "/token?x=1"
			a, err := auth.New(cfg, store, auth.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Exchange(t.Context(), secret.New("c+&1"), redirectURL); err != nil {
				t.Error(err)
			}
			server.Close()
			// With parameters in the query, the URL is a secret: net/http puts it into its errors.
			err = a.Exchange(t.Context(), secret.New("canary+code"), redirectURL)
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}

// A whole life with everything going wrong, and no secret in any log, error, status or panic text.
func TestNoSecretShows(t *testing.T) {
	w := newWorld(t)
	transports := map[string]http.RoundTripper{
		"plain":              &http.Transport{},
		"one that tells all": tellTale{},
	}
	echo := func(status int) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(string(body))
			rw.WriteHeader(status)
			_, _ = fmt.Fprintf(rw, `{"error":"bad request","error_description":%q,"message":"%s %s %s %s"}`, body,
				form.Get("code"), form.Get("access_token"), form.Get("refresh_token"), form.Get("client_secret"))
		}
	}
	for name, transport := range transports {
		for _, style := range []provider.BodyStyle{provider.Form, provider.JSON, provider.Query} {
			cfg := w.fake.config()
			cfg.Provider.Request.Style = style
			log := &authtest.Log{}
			var said []string
			note := func(err error) {
				if err != nil {
					said = append(said, fmt.Sprintf("%v %+v %#v %s", err, err, err, err))
				}
			}
			for _, status := range []int{200, 201, 301, 400, 401, 403, 404, 429, 500, 502} {
				w.fake.setDown(nil)
				w.login(t)
				code := secret.New(w.fake.code("elsewhere"))
				w.fake.setDown(echo(status))
				a, err := auth.New(cfg, w.store, auth.Options{Transport: transport, Log: zerolog.New(log), UserAgent: "relay/test"})
				if err != nil {
					t.Fatal(err)
				}
				note(a.Exchange(t.Context(), code, redirectURL))
				_, err = a.SocketToken(t.Context())
				note(err)
				_, err = a.Refresh(t.Context(), 0)
				note(err)
				_, err = a.Token(t.Context())
				note(err)
				if s, err := a.Status(); err == nil {
					said = append(said, fmt.Sprintf("%+v", s))
				}
				if g, err := w.store.Load("mystream"); err == nil {
					said = append(said, fmt.Sprintf("%v %+v %#v", g, g, g.Reason))
				}
				said = append(said, fmt.Sprintf("%+v %#v", a, cfg))
			}
			w.fake.findSecrets(name+" by "+string(style)+": the log", log.String())
			w.fake.findSecrets(name+" by "+string(style), strings.Join(said, "\n"))
			if len(said) < 40 {
				t.Errorf("%s by %s: only %d texts: the test tests nothing", name, style, len(said))
			}
		}
	}
}

// tellTale is a transport whose errors quote the whole request.
type tellTale struct{}

func (tellTale) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	return nil, fmt.Errorf("sending %s with %s", r.URL, body)
}
