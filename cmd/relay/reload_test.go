package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline"
)

// A reload adds, removes and changes sinks without touching the account's connection and the other sinks. An invalid configuration
// changes nothing. A sink that is added again resumes where it stopped.
func TestReload(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.configure(func(s *settings) { s.HTTP.Listen = at })
	w.login()
	p := w.start()
	w.connected()
	w.live.emit(0, 10)
	holds(t, "stdout", p.out, 0, 10)
	holds(t, "the webhook", w.bot.lines, 0, 10)
	connections := w.sim.Stats().Connections

	other := newReceiver(t)
	w.addSink("other", webhookTo(other.server.URL))
	p.reload("configuration loaded again")
	w.live.emit(10, 20)
	holds(t, "the new webhook", other.lines, 10, 20)
	holds(t, "the webhook", w.bot.lines, 0, 20)

	// Every error is logged, and nothing changes.
	restore := w.configure(func(s *settings) {
		s.Sinks["console"].ULR = other.server.URL
		s.Sinks["Overlay"] = s.Sinks["overlay"]
		delete(s.Sinks, "overlay")
	})
	p.reload("configuration is not loaded again, the old one holds")
	p.err.find(t, "sinks.console.ulr: unknown key")
	p.err.find(t, "sinks.Overlay")
	restore()
	restore = w.configure(func(s *settings) { s.Sinks["bot"].Secret, s.Sinks["bot"].SecretFile = "", "gone" })
	p.reload("configuration is not loaded again, the old one holds")
	w.live.emit(20, 30)
	holds(t, "the new webhook", other.lines, 10, 30)
	holds(t, "stdout", p.out, 0, 30)

	// One sink is removed, another one changed.
	restore()
	restore = w.configure(func(s *settings) {
		delete(s.Sinks, "other")
		s.Sinks["console"].Filter = `data.title endsWith "5"`
	})
	p.reload("configuration loaded again")
	if text := scrape(t, at); strings.Contains(text, `sink="other"`) || !strings.Contains(text, `sink="bot"`) {
		t.Errorf("the metrics of the sink that is gone are there, or others are not:\n%s", text)
	}
	w.live.emit(30, 40)
	holds(t, "the webhook", w.bot.lines, 0, 40)
	eventually(t, func() error {
		if got := titlesOf(t, p.out.get()); len(got) != 31 || got[30] != title(35) {
			return fmt.Errorf("stdout has %d events, the last is %s", len(got), got[len(got)-1])
		}
		return nil
	})
	if got := len(other.get()); got != 20 {
		t.Errorf("the sink that is gone got %d events", got)
	}
	restore()
	p.reload("configuration loaded again")
	holds(t, "the webhook that is back", other.lines, 10, 40)

	// A URL file that changed is read again.
	w.configure(func(s *settings) { s.Sinks["other"].URL, s.Sinks["other"].URLFile = "", "address" })
	address := filepath.Join(w.dir, "address")
	for i, to := range []*receiver{other, newReceiver(t)} {
		if err := os.WriteFile(address, []byte(to.server.URL+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.reload("configuration loaded again")
		w.live.emit(40+i, 41+i)
		to.find(t, title(40+i))
	}

	// Changes that need a restart are logged.
	w.configure(func(s *settings) { s.Journal.Retention = "900h" })
	p.reload("configuration loaded again")
	p.err.find(t, "hold from the next start of relay on")
	if got := w.sim.Stats().Connections; got != connections {
		t.Errorf("%d connections were made, %d before: the account was not left alone", got, connections)
	}
	p.stop()
	w.noSecrets(p)
}

func scrape(t *testing.T, at string) string {
	t.Helper()
	resp, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A reload adds, removes and changes accounts: a changed one reconnects, a new one waits for its login, and the others stay connected.
// With --watch no signal is needed.
func TestReloadAccounts(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--watch", "--sink", "console")
	w.connected()
	w.live.emit(0, 10)
	holds(t, "stdout", p.out, 0, 10)
	connections := w.sim.Stats().Connections
	w.configure(func(s *settings) {
		second := *s.account()
		s.Accounts["second"] = &second
	})
	p.awaitCount("configuration loaded again", 1)
	p.err.find(t, "relay auth login second")
	w.loginTo("second")
	eventually(t, func() error {
		if n := w.sim.Connections(); n != 2 {
			return fmt.Errorf("%d connections, want 2", n)
		}
		return nil
	})
	if got := w.sim.Stats().Connections; got != connections+1 {
		t.Errorf("%d connections were made, want one more than %d", got, connections)
	}
	w.configure(func(s *settings) { s.Accounts["second"].KeepRaw = true })
	p.awaitCount("configuration loaded again", 2)
	eventually(t, func() error {
		if made, now := w.sim.Stats().Connections, w.sim.Connections(); made != connections+2 || now != 2 {
			return fmt.Errorf("%d connections were made, want %d, and %d are there, want 2", made, connections+2, now)
		}
		return nil
	})
	w.live.emit(10, 11)
	eventually(t, func() error {
		if text := p.out.text(); !strings.Contains(text, `"account":"second"`) || strings.Count(text, `"raw":`) != 1 {
			return fmt.Errorf("the changed account does not keep what the provider sends:\n%s", text)
		}
		return nil
	})
	w.configure(func(s *settings) { delete(s.Accounts, "second") })
	p.awaitCount("configuration loaded again", 3)
	w.connected()
	w.live.emit(11, 12)
	eventually(t, func() error {
		if n := len(p.out.get()); n != 13 {
			return fmt.Errorf("%d events, want 13", n)
		}
		return nil
	})
	p.stop()
	w.noSecrets(p)
}

// No treat is lost or duplicated by repeated reloads that change a sink and the account, while treats
// arrive without a pause.
func TestReloadUnderLoad(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	overlay := w.overlay()
	p.err.find(t, "first comparison with the history")
	stop := make(chan struct{})
	var emission sync.WaitGroup
	sent := 0
	emission.Go(func() {
		for ; ; sent++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				w.sends(sent, sent+1)
			}
		}
	})
	for n := range 10 {
		w.configure(func(s *settings) {
			s.account().KeepRaw = n%2 == 0
			s.Sinks["bot"].Timeout = fmt.Sprintf("%ds", 10+n)
		})
		p.reload("configuration loaded again")
		time.Sleep(100 * time.Millisecond)
	}
	w.connected()
	close(stop)
	emission.Wait()
	for name, sink := range map[string]*lines{"stdout": p.out, "NATS": overlay, "the webhook": w.bot.lines} {
		eventually(t, func() error {
			if got := len(sink.get()); got < sent {
				return fmt.Errorf("%s has %d events, want %d", name, got, sent)
			}
			return nil
		})
		seen := map[string]bool{}
		for _, title := range titlesOf(t, sink.get()) {
			if seen[title] {
				t.Errorf("%s has %s twice", name, title)
			}
			seen[title] = true
		}
		if len(seen) != sent {
			t.Errorf("%s has %d different treats, want %d", name, len(seen), sent)
		}
	}
	p.stop()
	if sent < 100 {
		t.Errorf("%d treats were sent, so little was tried", sent)
	}
}

// A reload applies the settings of overlays at once. The HTTP server stays as it is until the next start, and relay says so.
func TestReloadOfOverlays(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.configure(func(s *settings) {
		s.Overlays = map[string]overlaySettings{"main": {Position: map[string]int{"x": 1}}, "second": {}}
	})
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	positions := func() map[string]int {
		t.Helper()
		c, err := api.Connect(t.Context(), w.data())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		list, err := c.Overlays(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int{}
		for _, o := range list.Overlays {
			all[o.Name] = o.Layout.X
		}
		return all
	}
	if got, want := positions(), map[string]int{"main": 1, "second": 20}; !maps.Equal(got, want) {
		t.Errorf("overlays at the start: %v, want %v", got, want)
	}
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.configure(func(s *settings) {
		s.HTTP.Listen = at
		s.Overlays = map[string]overlaySettings{"main": {Position: map[string]int{"x": 2}}, "third": {}}
	})
	p.reload("configuration loaded again")
	p.err.find(t, `"sections":["http"]`)
	got := positions()
	if got["main"] != 2 || got["third"] != 20 {
		t.Errorf("overlays after the reload: %v", got)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", at); err == nil {
		t.Error("the HTTP server listens at the new address before the next start")
	}
	p.stop()
}

// While the journal's server is down, a changed sink waits for it, and /readyz reports that. A reload does not stop an account, because the treats
// it has received would be lost.
func TestReloadWithoutTheJournal(t *testing.T) {
	server := natstest.Start(t)
	w := newWorld(t, simulatedRealtime)
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	w.configure(func(s *settings) { s.Journal.NATSURL, s.HTTP.Listen = server.URL(), at })
	w.login()
	p := w.start("--sink", "bot", "--sink", "console")
	w.connected()
	w.live.emit(0, 5)
	holds(t, "the webhook", w.bot.lines, 0, 5)
	server.Stop() // not killed: the lane's acknowledgements of the last moments are on disk
	w.configure(func(s *settings) { s.Sinks["bot"].Timeout = "9s" })
	p.reload("configuration loaded again")
	w.ready("http://"+at+"/readyz", http.StatusServiceUnavailable, func(v api.Readiness) error {
		if !slices.ContainsFunc(v.NotReady, func(t api.Trouble) bool { return t.Part == "sink bot" }) {
			return errors.New("sink bot is not in trouble")
		}
		return nil
	})
	w.live.emit(5, 10)
	p.err.find(t, "journal cannot be written")
	w.configure(func(s *settings) { s.account().KeepRaw = true })
	p.reload("configuration is not loaded again, the old one holds")
	p.err.find(t, "no account can be ended")
	if n := w.live.connections(); n != 1 {
		t.Errorf("%d connections, want the one", n)
	}
	server.Restart()
	holds(t, "the webhook", w.bot.lines, 0, 10)
	holds(t, "stdout", p.out, 0, 10)
	p.stop()
	w.noSecrets(p)
}

// A reload waits for a request in flight to a changed sink, however slow: otherwise the receiver would get the event again.
func TestReloadWaitsForARequest(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	begun := make(chan struct{})
	var once sync.Once
	slow := newEndpoint(t, func(_ http.ResponseWriter, req *http.Request, e pipeline.Event) {
		if *e.Data.Title != title(0) {
			return
		}
		once.Do(func() { close(begun) })
		select {
		case <-time.After(daemon.DrainTime + 2*time.Second):
		case <-req.Context().Done():
		}
	})
	w.configure(func(s *settings) { s.Sinks["bot"].URL = slow.server.URL })
	p := w.start("--sink", "bot")
	w.connected()
	w.live.emit(0, 3)
	<-begun
	w.configure(func(s *settings) { s.Sinks["bot"].Retry.Initial = "60ms" })
	p.reload("configuration loaded again")
	eventually(t, func() error {
		if n := len(slow.got()); n < 3 {
			return fmt.Errorf("%d requests, want 3", n)
		}
		return nil
	})
	p.stop()
	if got := slow.got(); len(got) != 3 || len(uniqueTitles(t, got)) != 3 {
		t.Errorf("the receiver got %v, want each of 3 once", got)
	}
}
