package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
)

// /readyz and relay status report every state of accounts and sinks.
func TestStatus(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	url := w.onHTTP()
	w.login()
	p := w.start()
	w.connected()
	w.live.emit(0, 5)
	holds(t, "the webhook", w.bot.lines, 0, 5)
	holds(t, "stdout", p.out, 0, 5)
	w.ready(url, http.StatusOK, isFine)
	s := w.snapshot()
	a, bot := s.Accounts[0], s.Sinks[0]
	if a.Account != "mystream" || a.Connection != api.ConnConnected || a.Token != "active" || a.LastTreat == nil || a.LastTreat.Origin != "live" || a.Reconnects != 0 {
		t.Errorf("account %+v", a)
	}
	if s.Journal.State != api.StateOK || *s.Journal.Events != 5 || *s.Journal.Bytes == 0 || s.Journal.Server != "files" {
		t.Errorf("journal %+v", s.Journal)
	}
	if len(s.Sinks) != 3 || bot.Sink != "bot" || bot.Type != "webhook" || bot.State != api.StateOK || bot.Delivered != 5 || *bot.Pending != 0 || *bot.DeadLetters != 0 || bot.P50 == nil {
		t.Errorf("sinks %+v", s.Sinks)
	}

	w.live.drop() // a lost connection that comes back
	eventually(t, func() error {
		if a := w.snapshot().Accounts[0]; a.Connection != api.ConnConnected || a.Reconnects != 1 {
			return fmt.Errorf("after a lost connection: %+v", a)
		}
		return nil
	})

	w.bot.server.CloseClientConnections()
	w.bot.server.Close()
	w.live.emit(5, 8)
	w.ready(url, http.StatusOK, func(v api.Readiness) error { return only(v.Degraded, "sink bot", "it is down since", "refused") })
	w.relay(exit.OK, "status", "--quiet")
	if bot := w.snapshot().Sinks[0]; bot.State != "down" || bot.Failures == 0 || bot.Lag == 0 || *bot.Pending+uint64(bot.InFlight) != 3 {
		t.Errorf("a sink that is down: %+v", bot)
	}
	w.relay(exit.OK, "sinks", "disable", "bot", "--reason", "moving house")
	w.ready(url, http.StatusOK, func(v api.Readiness) error {
		return only(v.Degraded, "sink bot", "it is disabled since", "moving house", "relay sinks enable bot")
	})

	w.sim.RevokeAll()
	w.live.drop()
	w.ready(url, http.StatusOK, func(v api.Readiness) error {
		return only(v.Degraded[:len(v.Degraded)-1], "account mystream", "somebody logs in", "relay auth login mystream")
	})
	if a := w.snapshot().Accounts[0]; a.Connection != api.ConnLoginNeeded || a.Fix != "relay auth login mystream" || a.Token != "reauthorize_needed" {
		t.Errorf("an account without a login: %+v", a)
	}
	w.login()
	w.ready(url, http.StatusOK, func(v api.Readiness) error { return only(v.Degraded, "sink bot") })
	p.stop()
}

// While the journal's server is down, relay runs and is not ready: at its start, while idle, and while treats wait.
func TestNotReadyWithoutTheJournal(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	server := natstest.Start(t)
	w.onServer(server.URL())
	url := w.onHTTP()
	w.login()
	server.Kill()
	p := w.start("--sink", "console")
	p.err.find(t, "journal's server does not answer")
	w.relay(exit.Failure, "status", "--quiet")
	if s := w.snapshot(); s.State != api.StateNotReady || only(s.NotReady, "relay", "it is starting") != nil || s.Journal.State != api.StateAway {
		t.Errorf("while it waits at the start: %+v", s)
	}
	server.Restart()
	w.connected()
	w.ready(url, http.StatusOK, isFine)

	server.Kill()
	w.ready(url, http.StatusServiceUnavailable, func(v api.Readiness) error {
		return only(v.NotReady, "journal", "connection to the journal's server lost")
	})
	w.relay(exit.Failure, "status", "--quiet")
	if s := w.snapshot(); s.Journal.Events != nil || len(s.Sinks) != 1 || s.Sinks[0].Pending != nil {
		t.Errorf("without the journal's server: %+v", s)
	}
	w.relay(exit.OK, "status") // a table without the server's figures
	w.live.emit(0, 3)
	w.ready(url, http.StatusServiceUnavailable, func(v api.Readiness) error {
		return only(v.NotReady, "journal", "cannot be written since", "3 treats wait")
	})
	server.Restart()
	holds(t, "stdout", p.out, 0, 3)
	w.ready(url, http.StatusOK, isFine)
	p.stop()
}

// If an account cannot connect, relay is not ready, and reports only the account.
func TestNotReadyWithoutTheProvider(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	url := w.onHTTP()
	w.login()
	if err := w.sim.Close(); err != nil {
		t.Fatal(err)
	}
	p := w.start("--sink", "console")
	w.ready(url, http.StatusServiceUnavailable, func(v api.Readiness) error { return only(v.NotReady, "account mystream", "refused") })
	p.stop()
}

// A relay that is stopping and still delivers is not ready.
func TestNotReadyWhileStopping(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	url := w.onHTTP()
	w.bot.delay = patience // longer than relay waits
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	w.live.emit(0, 1)
	eventually(t, func() error {
		if bot := w.snapshot().Sinks[0]; bot.InFlight != 1 {
			return fmt.Errorf("%+v", bot)
		}
		return nil
	})
	p.signal(syscall.SIGTERM)
	w.ready(url, http.StatusServiceUnavailable, func(v api.Readiness) error {
		if last := v.NotReady[len(v.NotReady)-1]; last.Part != "relay" || last.Reason != "it is stopping" {
			return fmt.Errorf("%v", last)
		}
		return nil
	})
	if code := p.exit(); code != exit.OK {
		t.Errorf("exit code %d", code)
	}
}

// relay status --watch continues until it is interrupted, across a restart of relay.
func TestWatch(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.relay(exit.Unavailable, "status", "--watch")
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	watch, table := w.start("status", "--watch", "--json"), w.start("status", "--watch")
	grows := func() {
		t.Helper()
		before := len(watch.out.get())
		eventually(t, func() error {
			if n := len(watch.out.get()); n < before+2 {
				return fmt.Errorf("%d lines after %d", n, before)
			}
			return nil
		})
	}
	grows()
	p.stop()
	watch.err.find(t, "No relay runs on")
	p = w.start("--sink", "console")
	w.connected()
	grows()
	for _, line := range watch.out.get() {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is no JSON", line)
		}
	}
	eventually(t, func() error {
		if text := table.out.text(); strings.Count(text, "JOURNAL") < 2 || strings.Contains(text, "\x1b") {
			return fmt.Errorf("table:\n%s", text)
		}
		return nil
	})
	for _, one := range []*process{watch, table} {
		one.signal(syscall.SIGINT)
		if code := one.exit(); code != exit.OK {
			t.Errorf("exit code %d after Ctrl-C:\n%s", code, one.err.text())
		}
	}
	p.stop()
}

// The JSON of relay status has exactly these keys.
func TestStatusKeys(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	w.live.emit(0, 1)
	holds(t, "stdout", p.out, 0, 1)
	var got struct {
		All      map[string]any   `json:"-"`
		Accounts []map[string]any `json:"accounts"`
		Journal  map[string]any   `json:"journal"`
		Sinks    []map[string]any `json:"sinks"`
	}
	line := []byte(w.relay(exit.OK, "status", "--json").out.text())
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &got.All); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		of   map[string]any
		want string
	}{
		{got.All, "accounts degraded journal not_ready sinks started state time version"},
		{got.Accounts[0], "account connection last_treat provider reconnects since token token_expiry transport"},
		{got.Journal, "bytes events events_last_minute last_write oldest server state waiting"},
		{got.Sinks[0], "dead_letters delivered failed_attempts in_flight lag_seconds last_delivery latency_p50_seconds latency_p99_seconds pending retries sink state type"},
	} {
		if diff := cmp.Diff(strings.Fields(tt.want), slices.Sorted(maps.Keys(tt.of))); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
	}
	p.stop()
}

// While nobody can log in with a password, relay says so, and goes on by itself when the file is right again.
func TestBrokenPasswordFileIsDegraded(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	url := w.onHTTP()
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("correct horse battery\n")
	w.configure(func(s *settings) { s.HTTP.PasswordFile = file })
	w.login()
	w.start()
	w.ready(url, http.StatusOK, isFine)
	write("short\n")
	w.ready(url, http.StatusOK, func(v api.Readiness) error {
		return only(v.Degraded, "http", "http.password_file", "relay doctor")
	})
	w.ready(url, http.StatusOK, func(v api.Readiness) error { return noPath(v, file) })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.ready(url, http.StatusOK, func(v api.Readiness) error { return only(v.Degraded, "http", "http.password_file") })
	write("another good password\n")
	w.ready(url, http.StatusOK, isFine)
}

// noPath checks that no trouble names a file: everybody may read /readyz.
func noPath(v api.Readiness, file string) error {
	for _, trouble := range slices.Concat(v.NotReady, v.Degraded) {
		if strings.Contains(trouble.String(), file) {
			return fmt.Errorf("%s names the file", trouble)
		}
	}
	return nil
}
