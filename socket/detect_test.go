package socket_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/socket"
)

// dials is what a server was asked for, in order, and how it answers.
type dials struct {
	mu   sync.Mutex
	seen []string // EIO of each dial, with its token
}

// serve counts a dial and lets answer go on with it; n counts from one.
func (d *dials) serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, eio string, n int)) string {
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		d.mu.Lock()
		d.seen = append(d.seen, q.Get("EIO")+" "+q.Get("token"))
		n := len(d.seen)
		d.mu.Unlock()
		answer(w, r, q.Get("EIO"), n)
	})
}

func (d *dials) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// upTo starts a script that stays until the client goes.
func upTo(frames ...string) func(*served) {
	return func(s *served) { s.send(frames...); s.idle() }
}

// TestDetection goes through the rule by which a server's revision is found out.
func TestDetection(t *testing.T) {
	v2 := eio3((*served).idle)
	v4 := eio4((*served).idle)
	leave := func(*served) {}
	refuse := func(status int) func(*testing.T, http.ResponseWriter) {
		return func(_ *testing.T, w http.ResponseWriter) { w.WriteHeader(status) }
	}
	type reply struct {
		script func(*served)
		http   func(*testing.T, http.ResponseWriter)
	}
	unsupported := reply{http: func(_ *testing.T, w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"code":5,"message":"Unsupported protocol version"}`)
	}}
	for name, test := range map[string]struct {
		protocol  socket.Protocol
		third     reply // to EIO=3
		fourth    reply // to EIO=4
		until     socket.Phase
		want      string // the revisions dialled until then
		connected socket.Protocol
		err       string
	}{
		"version 2":                  {third: reply{script: v2}, until: socket.Connected, want: "3", connected: socket.EIO3},
		"version 4":                  {third: unsupported, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"closed at once":             {third: reply{script: leave}, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"another first frame":        {third: reply{script: upTo("6")}, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"a handshake that is none":   {third: reply{script: upTo(`0{"sid":{}}`)}, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"a handshake without sid":    {third: reply{script: upTo(`0{}`)}, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"the server pings":           {third: reply{script: upTo(opening, "2")}, fourth: reply{script: v4}, until: socket.Connected, want: "34", connected: socket.EIO4},
		"bare connect to revision 4": {third: reply{script: v2}, fourth: reply{script: upTo(opening, "40")}, until: socket.Connected, want: "3", connected: socket.EIO3},
		"contradiction":              {third: reply{script: upTo(opening, "2")}, fourth: reply{script: upTo(opening, "40")}, until: socket.Waiting, want: "343", err: "Engine.IO 4"},
		"neither":                    {third: unsupported, fourth: unsupported, until: socket.Waiting, want: "34", err: "is it a Socket.IO server?"},
		"unauthorized":               {third: reply{http: refuse(401)}, until: socket.Waiting, want: "3", err: "HTTP 401"},
		"forbidden":                  {third: reply{http: refuse(403)}, until: socket.Waiting, want: "3", err: "HTTP 403"},
		"not found":                  {third: reply{http: refuse(404)}, until: socket.Waiting, want: "3", err: "check the URL"},
		"no upgrade":                 {third: reply{http: refuse(200)}, fourth: reply{http: refuse(200)}, until: socket.Waiting, want: "334", err: "does not pass WebSocket upgrades on; nor by HTTP long-polling"},
		"server error":               {third: reply{http: refuse(500)}, until: socket.Waiting, want: "3", err: "HTTP 500"},
		"bad gateway":                {third: reply{http: refuse(502)}, until: socket.Waiting, want: "3", err: "HTTP 502"},
		"refused by middleware":      {third: reply{script: upTo(opening, `44"no"`)}, until: socket.Waiting, want: "3", err: `refused: "no"`},
		"3 is configured":            {protocol: socket.EIO3, third: unsupported, until: socket.Waiting, want: "3", err: "Unsupported"},
		"3 is configured, it pings":  {protocol: socket.EIO3, third: reply{script: upTo(opening, "2")}, until: socket.Waiting, want: "3", err: "set the protocol to 4"},
		"4 is configured":            {protocol: socket.EIO4, fourth: reply{script: v4}, until: socket.Connected, want: "4", connected: socket.EIO4},
		"4 is configured, it is 3":   {protocol: socket.EIO4, fourth: reply{script: upTo(opening, "40")}, until: socket.Waiting, want: "4", err: "set the protocol to 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d dials
			url := d.serve(t, func(w http.ResponseWriter, r *http.Request, eio string, _ int) {
				answer := test.third
				if eio == "4" {
					answer = test.fourth
				}
				if answer.http != nil {
					answer.http(t, w)
					return
				}
				accept(t, w, r, answer.script)
			})
			r := start(t, socket.Config{URL: url, Protocol: test.protocol}, nil)
			s := r.phase(test.until, 1)
			var want []string
			for i, eio := range test.want {
				want = append(want, fmt.Sprintf("%c token-%d", eio, i+1))
			}
			if got := d.list(); !slices.Equal(got, want) {
				t.Errorf("dialled %q, want %q", got, want)
			}
			if test.until == socket.Connected && s.Protocol != test.connected {
				t.Errorf("protocol %v, want %v", s.Protocol, test.connected)
			}
			if test.err != "" && (s.Err == nil || !strings.Contains(s.Err.Error(), test.err)) {
				t.Errorf("error %v, want %s", s.Err, test.err)
			}
		})
	}
}

// TestDetectionRemembers covers what becomes of a revision once it is known.
func TestDetectionRemembers(t *testing.T) {
	revisions := func(d *dials) (list string) {
		for _, dial := range d.list() {
			list += dial[:1]
		}
		return list
	}
	t.Run("a pong shows it before authorization", func(t *testing.T) {
		t.Parallel()
		var d dials
		url := d.serve(t, func(w http.ResponseWriter, r *http.Request, eio string, n int) {
			if n == 2 && eio == "3" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			accept(t, w, r, func(s *served) {
				s.send(opening)
				if got := s.read(); got != "2" {
					t.Errorf("the client began with %q, want a ping", got)
				}
				s.send("3")
				if n > 2 {
					s.send("40")
					s.idle()
				}
			})
		})
		r := start(t, socket.Config{URL: url}, nil)
		r.phase(socket.Connected, 1)
		// Dial 2 fails for its revision, and EIO=4 is not tried, because 3 is remembered.
		if got := revisions(&d); got != "333" {
			t.Errorf("dialled %s, want 333", got)
		}
	})
	t.Run("a refusal shows it", func(t *testing.T) {
		t.Parallel()
		var d dials
		url := d.serve(t, func(w http.ResponseWriter, r *http.Request, _ string, n int) {
			if n == 2 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			accept(t, w, r, func(s *served) {
				s.send(opening, `44"not yet"`)
				if n > 2 {
					s.send("40")
				}
				s.idle()
			})
		})
		r := start(t, socket.Config{URL: url}, nil)
		r.phase(socket.Waiting, 2)
		if got := revisions(&d); got != "33" {
			t.Errorf("dialled %s, want 33", got)
		}
	})
	t.Run("an upgraded server is found again", func(t *testing.T) {
		t.Parallel()
		var d dials
		url := d.serve(t, func(w http.ResponseWriter, r *http.Request, eio string, n int) {
			switch {
			case n == 1:
				accept(t, w, r, eio3(func(*served) {}))
			case eio == "3":
				w.WriteHeader(http.StatusBadRequest)
			default:
				accept(t, w, r, eio4((*served).idle))
			}
		})
		r := start(t, socket.Config{URL: url}, nil)
		if s := r.phase(socket.Connected, 2); s.Protocol != socket.EIO4 {
			t.Errorf("protocol %v", s.Protocol)
		}
		if got := revisions(&d); got != "3334" {
			t.Errorf("dialled %s, want 3334", got)
		}
	})
	t.Run("a downgraded server is found again", func(t *testing.T) {
		t.Parallel()
		var d dials
		url := d.serve(t, func(w http.ResponseWriter, r *http.Request, eio string, n int) {
			switch {
			case n == 1:
				w.WriteHeader(http.StatusBadRequest)
			case n == 2:
				accept(t, w, r, eio4(func(*served) {}))
			case eio == "4":
				accept(t, w, r, upTo(opening, "40"))
			default:
				accept(t, w, r, eio3((*served).idle))
			}
		})
		r := start(t, socket.Config{URL: url}, nil)
		if s := r.phase(socket.Connected, 2); s.Protocol != socket.EIO3 {
			t.Errorf("protocol %v", s.Protocol)
		}
		if got := revisions(&d); got != "3443" {
			t.Errorf("dialled %s, want 3443", got)
		}
	})
}

// TestRedirectIsNotFollowed keeps the token from a host it was not meant for.
func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the client followed to %s", r.URL)
	}))
	defer elsewhere.Close()
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	})
	r := start(t, socket.Config{URL: url}, nil)
	if s := r.phase(socket.Waiting, 1); !strings.Contains(s.Err.Error(), "redirects are not followed") {
		t.Errorf("error %v", s.Err)
	}
}

// TestNothingShowsTheToken has servers and networks fail in ways that show what was sent to them.
func TestNothingShowsTheToken(t *testing.T) {
	echo := func(status int) string {
		return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"code":4,"message":%q}`, "bad request: "+r.URL.String())
		})
	}
	for name, url := range map[string]string{
		"refused":   "http://127.0.0.1:1",
		"dns":       "http://relay.invalid",
		"not tls":   strings.Replace(serve(t, eio3((*served).idle)), "http:", "https:", 1),
		"bad body":  echo(http.StatusBadRequest),
		"forbidden": echo(http.StatusForbidden),
		"no http": serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = fmt.Fprintf(conn, "%s\r\n\r\n", r.URL)
			_ = conn.Close()
		}),
		"bad upgrade": serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", r.URL.RawQuery)
			w.WriteHeader(http.StatusSwitchingProtocols)
		}),
		"rejected": serve(t, func(s *served) {
			s.send(opening, fmt.Sprintf("44%q", "who is "+s.req.URL.Query().Get("token")+"?\x1b[31m"+strings.Repeat("!", 1000)))
			s.idle()
		}),
		"closed": serve(t, eio3(func(s *served) { _ = s.ws.Close(4000, s.req.URL.RawQuery) })),
		"closed early": serve(t, func(s *served) {
			_ = s.ws.Close(4000, s.req.URL.RawQuery)
		}),
		"a packet": serve(t, eio3(func(s *served) {
			s.send(fmt.Sprintf("44%q", s.req.URL.RawQuery))
		})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, socket.Config{URL: url + "/?key=hush-hush"}, nil)
			s := r.phase(socket.Waiting, 2)
			for _, text := range []string{r.logged(), r.history(), fmt.Sprintf("%+v", s)} {
				for _, secret := range []string{"token-", "hush", "EIO=", "\x1b"} {
					if strings.Contains(text, secret) {
						t.Errorf("%q shows in %s", secret, text)
					}
				}
			}
			var rejected *socket.RejectedError
			if errors.As(s.Err, &rejected) && len(rejected.Message) > 210 {
				t.Errorf("the message of the server has %d bytes", len(rejected.Message))
			}
		})
	}
}
