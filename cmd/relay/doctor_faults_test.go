package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
)

// serverTime sets the clock of the provider's token endpoint off by skew.
func (w *world) serverTime(skew time.Duration) {
	w.t.Helper()
	to, err := url.Parse(w.sim.Endpoints().Token)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	proxy.ModifyResponse = func(resp *http.Response) error {
		resp.Header.Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
		return nil
	}
	server := httptest.NewServer(proxy)
	w.t.Cleanup(server.Close)
	w.configure(func(s *settings) { s.account().Endpoints.Token = server.URL + to.Path })
}

// occupy listens on an address until the test ends.
func occupy(t *testing.T, address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

const restrictedServer = `
authorization {
  users = [
    {user: relay, password: canary-right, permissions: {publish: ["treats.>", "$JS.API.STREAM.INFO.*"], subscribe: ["_INBOX.>"]}}
  ]
}
`

// relay doctor finds each fault and no other. The finding has a fix, and the exit code tells the kind of fault.
func TestDoctorFindsFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		cause       func(t *testing.T, w *world)
		code        int
		what, about string
		detail, fix string
		state       doctor.State // a fault if empty
		also        []string     // other faults that follow from it
	}{
		"a client secret that is wrong": {
			cause: func(_ *testing.T, w *world) {
				w.expire()
				w.configure(func(s *settings) { s.account().ClientSecret = "canary-of-the-client" })
			},
			code: exit.Config, what: "token", about: "mystream", detail: "invalid_client", fix: "client_secret",
		},
		"a grant that was revoked": {
			cause: func(_ *testing.T, w *world) { w.sim.RevokeAll() },
			code:  exit.Unauthorized, what: "socket-token", detail: "HTTP 401", fix: "relay auth refresh mystream --config ",
		},
		"a grant that was revoked and has expired": {
			cause: func(_ *testing.T, w *world) {
				w.expire()
				w.sim.RevokeAll()
			},
			code: exit.Unauthorized, what: "token", detail: "refused the refresh token", fix: "relay auth login mystream --config ",
		},
		"no login": {
			cause: func(t *testing.T, w *world) {
				if err := os.Remove(w.data(datadir.AccountsDir, "mystream.json")); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.Unauthorized, what: "token", detail: "not logged in", fix: "relay auth login mystream --config ",
		},
		"an identity that is gone": {
			cause: func(t *testing.T, w *world) {
				if err := os.Remove(w.identity); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.Failure, what: "identity", detail: "no such file", fix: "age-keygen",
		},
		"a receiver that is down": {
			cause: func(_ *testing.T, w *world) { w.bot.server.Close() },
			code:  exit.Failure, what: "webhook", about: "bot", detail: "connection refused", fix: "sinks.bot.url",
		},
		"a receiver with a certificate of its own": {
			cause: func(t *testing.T, w *world) {
				server := httptest.NewTLSServer(http.NotFoundHandler())
				t.Cleanup(server.Close)
				w.configure(func(s *settings) { s.Sinks["bot"].URL = server.URL + "/canary-of-the-path" })
			},
			code: exit.Failure, what: "webhook", about: "bot", detail: "unknown authority", fix: "sinks.bot.tls_ca_file",
		},
		"a NATS server with another password": {
			cause: func(t *testing.T, w *world) {
				server := natstest.Start(t, "--user", "relay", "--pass", "canary-right")
				far := natsTo(server.URL(), "FAR", "far.treats")
				far.User, far.Password = "relay", "canary-wrong"
				w.addSink("far", far)
			},
			code: exit.Failure, what: "nats", about: "far", detail: "Authorization Violation", fix: "correct the login of sinks.far",
		},
		"a NATS login that may not make the stream": {
			cause: func(t *testing.T, w *world) {
				file := filepath.Join(w.dir, "nats.conf")
				if err := datadir.WritePrivate(file, []byte(restrictedServer)); err != nil {
					t.Fatal(err)
				}
				server := natstest.Start(t, "-c", file)
				w.addSink("far", natsTo(withLogin(t, server.URL(), "relay", "canary-right"), "FAR", ""))
			},
			code: exit.Failure, what: "nats", about: "far", detail: `Publish to "$JS.API.STREAM.CREATE.FAR"`, fix: "$JS.API.STREAM.INFO, CREATE and UPDATE",
		},
		"a journal's server that is down": {
			cause: func(t *testing.T, w *world) {
				w.onServer(fmt.Sprintf("nats://relay:canary-right@127.0.0.1:%d", freePort(t)))
			},
			code: exit.Failure, what: "journal", detail: "no servers available", fix: "start that server",
		},
		"a clock that is ten minutes off": {
			cause: func(_ *testing.T, w *world) { w.serverTime(-10 * time.Minute) },
			code:  exit.Failure, what: "clock", detail: "ahead of the server's", fix: "NTP",
		},
		"a clock that is a minute off": {
			cause: func(_ *testing.T, w *world) { w.serverTime(time.Minute) },
			code:  exit.OK, state: doctor.Warning, what: "clock", detail: "behind the server's", fix: "NTP",
		},
		"a data folder that is none": {
			cause: func(t *testing.T, w *world) {
				data := w.data()
				if err := os.RemoveAll(data); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(data, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.Failure, what: "folder", detail: "not a folder", fix: "--data-dir",
		},
		"a data folder that others may look into": {
			cause: func(t *testing.T, w *world) {
				if err := os.Chmod(w.data(), 0o755); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.OK, state: doctor.Warning, what: "folder", detail: "mode 0755", fix: "chmod 700 ",
		},
		"logins that others may read": {
			cause: func(t *testing.T, w *world) {
				if err := os.Chmod(w.data(datadir.AccountsDir), 0o755); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.Failure, what: "accounts", detail: "mode 0755", fix: "chmod 700 ",
		},
		"a configuration with secrets that others may read": {
			cause: func(t *testing.T, w *world) {
				if err := os.Chmod(w.config, 0o644); err != nil {
					t.Fatal(err)
				}
			},
			code: exit.OK, state: doctor.Warning, what: "config", detail: "mode 0644", fix: "chmod 600 ",
		},
		"a port that another program has": {
			cause: func(t *testing.T, w *world) { occupy(t, w.natsAddr) },
			code:  exit.Failure, what: "port", about: "nats.listen", detail: "address already in use", fix: "choose another address",
		},
		"a realtime server that is no Socket.IO server": {
			cause: func(t *testing.T, w *world) {
				server := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(server.Close)
				w.configure(func(s *settings) { s.account().Endpoints.Socket = server.URL })
			},
			code: exit.Failure, what: "socket", about: "mystream", detail: "no Socket.IO server at this path", fix: "endpoints.socket",
		},
		"a realtime server that is down": {
			cause: func(t *testing.T, w *world) {
				w.configure(func(s *settings) { s.account().Endpoints.Socket = fmt.Sprintf("http://127.0.0.1:%d/", freePort(t)) })
			},
			code: exit.Failure, what: "socket", about: "mystream", detail: "connection refused", fix: "endpoints.socket", also: []string{"tcp"},
		},
		"a Discord webhook that is gone": {
			cause: func(t *testing.T, w *world) {
				chat := newDiscordStandIn(t)
				chat.gone = true
				w.addSink("chat", chat.sink())
			},
			code: exit.Failure, what: "discord", about: "chat", detail: "status 404", fix: "make a new webhook",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			w.login()
			tc.cause(t, w)
			if tc.state == "" {
				tc.state = doctor.Fault
			}
			all := w.doctor(tc.code)
			f := all.of(t, tc.what, tc.about)
			if f.State != tc.state || !strings.Contains(f.Detail, tc.detail) || !strings.Contains(f.Fix, tc.fix) {
				t.Errorf("%+v, want %s with %q and the advice %q", f, tc.state, tc.detail, tc.fix)
			}
			others := slices.DeleteFunc(append(all.in(doctor.Fault), all.in(doctor.Warning)...), func(name string) bool {
				return name == tc.what || slices.Contains(tc.also, name)
			})
			if len(others) > 0 {
				t.Errorf("also %v in %v", others, all)
			}
		})
	}
}

// Doctor reports every error of an invalid configuration, and still runs the checks that do not depend on it.
func TestDoctorWithoutAConfiguration(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	w.live.emit(0, 1)
	holds(t, "the webhook", w.bot.lines, 0, 1)
	p.stop()
	w.configure(func(s *settings) { s.Sinks["bot"].URL, s.Sinks["bot"].ULR = "", s.Sinks["bot"].URL })
	all := w.doctor(exit.Config)
	var told []string
	for _, f := range all {
		if f.Name == doctor.CheckConfig {
			told = append(told, f.Detail)
		}
	}
	if len(told) != 2 || !strings.Contains(strings.Join(told, "\n"), `did you mean "url"?`) {
		t.Errorf("of the configuration: %q", told)
	}
	if f := all.of(t, "journal", ""); !strings.Contains(f.Detail, "newest event is of mystream") {
		t.Errorf("%+v", f)
	}
	if f := all.of(t, "fsync", ""); f.State != doctor.OK {
		t.Errorf("%+v", f)
	}
	if out, _, code := w.command("", "doctor"); code != exit.Config || !strings.HasPrefix(out, "FAULT config: ") || !strings.Contains(out, "; fix: correct the configuration") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// Doctor renews an expired token if no relay runs, and leaves it to the running relay otherwise.
func TestDoctorRenewsOnlyWithoutARelay(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	before := w.grant("mystream")
	w.doctor(exit.OK)
	if after := w.grant("mystream"); after.Generation != before.Generation {
		t.Error("a token that is valid was renewed")
	}

	w.expire()
	stop := w.pretendToRun()
	if f := w.doctor(exit.Failure).of(t, "token", ""); f.State != doctor.Warning || !strings.Contains(f.Detail, "the relay that runs renews it") {
		t.Errorf("%+v", f)
	}
	stop()
	if after := w.grant("mystream"); after.Generation != before.Generation {
		t.Error("a token was renewed beside a relay")
	}
	w.doctor(exit.OK)
	if after := w.grant("mystream"); after.Generation != before.Generation+1 {
		t.Errorf("generation %d, want one more than %d", after.Generation, before.Generation)
	}
}

// pretendToRun listens on the control socket like a running relay, and closes every connection.
func (w *world) pretendToRun() (stop func()) {
	w.t.Helper()
	dir := w.data()
	l, err := daemon.Listen(w.t.Context(), dir)
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return func() {
		_ = l.Close()
		<-done
		_ = os.Remove(filepath.Join(dir, api.Socket))
	}
}

// With --ping a receiver that refuses the test treat is a fault. A sink with "tests: skip" gets none.
func TestDoctorPing(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	w.bot.refuses("Sent by relay doctor")
	if f := w.doctor(exit.Failure, "--ping").of(t, "webhook", "bot"); !strings.Contains(f.Detail, "status 400: the receiver says: no such dish") {
		t.Errorf("%+v", f)
	}
	w.bot.refuses()
	w.configure(func(s *settings) { s.Sinks["bot"].Tests = "skip" })
	if f := w.doctor(exit.OK, "--ping").of(t, "webhook", "bot"); !strings.Contains(f.Detail, "it takes no tests") {
		t.Errorf("%+v", f)
	}
	if got := w.bot.get(); len(got) > 0 {
		t.Errorf("the receiver got %q", got)
	}
}
