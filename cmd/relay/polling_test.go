package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/doctor"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A reverse proxy in front of the realtime server does not forward upgrades: relay falls back to HTTP long-polling.
func TestPolling(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	at, err := url.Parse(w.live.url())
	if err != nil {
		t.Fatal(err)
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: at.Scheme, Host: at.Host}) }, FlushInterval: -1}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Header.Del("Upgrade")
		r.Header.Del("Connection")
		through.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	w.configure(func(s *settings) { s.account().Endpoints.Socket = front.URL + at.Path })
	ready := w.onHTTP()
	w.login()
	if f := w.doctor(exit.OK).of(t, "socket", "mystream"); f.State != doctor.Warning || !strings.Contains(f.Detail, "connected by HTTP long-polling, Engine.IO 3") ||
		!strings.Contains(f.Detail, "does not pass WebSocket upgrades on") {
		t.Errorf("relay doctor: %+v", f)
	}
	p := w.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.err.text())
		}
	})
	w.connected()
	w.live.emit(0, 3)
	holds(t, "webhook", w.bot.lines, 0, 3)
	p.err.find(t, "WebSocket is not available: the connection uses HTTP long-polling")
	var s struct {
		Accounts []api.AccountStatus `json:"accounts"`
	}
	if err := json.Unmarshal([]byte(w.relay(exit.OK, "status", "--json").out.text()), &s); err != nil {
		t.Fatal(err)
	}
	if a := s.Accounts[0]; a.Connection != api.ConnConnected || a.Transport != "polling" || !strings.Contains(a.Reason, "101 Switching Protocols") {
		t.Errorf("status %+v", a)
	}
	if text := w.relay(exit.OK, "status").out.text(); !strings.Contains(text, "connected, polling") {
		t.Errorf("status:\n%s", text)
	}
	metrics := scrape(t, strings.TrimSuffix(strings.TrimPrefix(ready, "http://"), "/readyz"))
	for _, line := range []string{`relay_account_polling{account="mystream"} 1`, `relay_account_connected{account="mystream"} 1`, `relay_account_connects_total{account="mystream"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("no %s in the metrics", line)
		}
	}
	w.live.drop()
	eventually(t, func() error {
		if n := w.live.connections(); n != 1 {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	})
	w.live.emit(3, 5)
	holds(t, "webhook", w.bot.lines, 0, 5)
	p.stop()
	w.noSecrets(p)
}
