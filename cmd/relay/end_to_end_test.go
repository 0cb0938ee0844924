package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
)

// A user logs in, runs relay, and receives 1,000 treats across a dropped connection and a restarted server. They arrive in
// order, none missing and none twice, on stdout, in NATS and at a webhook.
func TestTreatsReachEverySink(t *testing.T) {
	for _, rt := range realtimes {
		t.Run(rt.name, func(t *testing.T) {
			w := newWorld(t, rt.live)
			w.login()
			p := w.start()
			w.connected()
			overlay := w.overlay()

			w.live.emit(0, 400)
			holds(t, "stdout", p.out, 0, 400) // all received before the cut: treats in flight would come from the history
			w.live.drop()
			w.connected()
			w.live.emit(400, 700)
			holds(t, "stdout", p.out, 0, 700)
			w.live.restart()
			w.connected()
			w.live.emit(700, 1000)
			for name, sink := range map[string]*lines{"stdout": p.out, "NATS": overlay, "the webhook": w.bot.lines} {
				holds(t, name, sink, 0, 1000)
			}
			p.stop()
			holds(t, "NATS", overlay, 0, 1000)
			holds(t, "the webhook", w.bot.lines, 0, 1000)
			if !slices.Equal(p.out.get(), overlay.get()) || !slices.Equal(p.out.get(), w.bot.get()) {
				t.Error("the sinks did not get the same lines")
			}
			for i, e := range events(t, p.out.get()) {
				if w.bot.ids[i] != e.ID {
					t.Fatalf("webhook-id %s of event %s", w.bot.ids[i], e.ID)
				}
			}
			w.noSecrets(p)
		})
	}
}

// Relay is killed while it delivers: every journaled event reaches every sink, NATS once, the webhook at least once with the
// same id.
func TestKill(t *testing.T) {
	for _, rt := range realtimes[:2] {
		t.Run(rt.name, func(t *testing.T) {
			w := newWorld(t, rt.live)
			w.bot.delay = time.Millisecond // so that the webhook's lane is behind
			w.login()
			p := w.start()
			w.connected()
			overlay := w.overlay()
			w.live.emit(0, 500)
			eventually(t, func() error {
				if n := len(w.bot.get()); n < 100 {
					return fmt.Errorf("%d webhooks received, want 100", n)
				}
				return nil
			})
			p.signal(syscall.SIGKILL)
			p.exit()
			before := p.out.get()

			p = w.start()
			w.connected()
			w.live.emit(500, 1000)
			p.out.find(t, title(999))
			eventually(t, func() error {
				if !strings.Contains(w.bot.text(), title(999)) || !strings.Contains(overlay.text(), title(999)) {
					return fmt.Errorf("the last treat has not arrived: webhook %d, NATS %d", len(w.bot.get()), len(overlay.get()))
				}
				return nil
			})
			p.stop()
			for _, line := range p.err.get() { // a kill must not be logged as damage
				if strings.Contains(line, `"message":"journal: `) && !strings.Contains(line, "the newest write") {
					t.Errorf("log: %s", line)
				}
			}
			want := w.journaledTitles()
			if len(want) < 500 {
				t.Fatalf("only %d events in the journal", len(want))
			}
			compare(t, "NATS", titlesOf(t, overlay.get()), want, false)
			compare(t, "stdout", append(titlesOf(t, before), titlesOf(t, p.out.get())...), want, true)
			compare(t, "the webhook", titlesOf(t, w.bot.get()), want, true)
			ids := map[string]string{} // by title
			for _, e := range events(t, append(append(w.bot.get(), overlay.get()...), append(before, p.out.get()...)...)) {
				if id, ok := ids[*e.Data.Title]; ok && id != e.ID {
					t.Errorf("%s was delivered as %s and as %s", *e.Data.Title, id, e.ID)
				}
				ids[*e.Data.Title] = e.ID
			}
		})
	}
}

// A webhook receiver that is down delays no other sink, and gets everything in order when it is back.
func TestReceiverAway(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	address := w.bot.server.Listener.Addr().String()
	w.bot.server.Close()
	p := w.start()
	w.connected()
	overlay := w.overlay()
	w.live.emit(0, 50)
	holds(t, "stdout", p.out, 0, 50)
	holds(t, "NATS", overlay, 0, 50)
	p.err.find(t, "sink is down")
	p.stop()

	// The receiver is back after a restart of relay.
	p = w.start()
	w.connected()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	back := &http.Server{Handler: w.bot.handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = back.Serve(l)
	}()
	defer func() {
		_ = back.Close()
		<-served
	}()
	holds(t, "the webhook", w.bot.lines, 0, 50)
	p.stop()
}

func TestPortInUse(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	l, err := net.Listen("tcp", w.natsAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := w.start("--sink", "overlay")
	if code := p.exit(); code != exit.Unavailable || !strings.Contains(p.err.text(), "nats.listen "+w.natsAddr) {
		t.Errorf("exit code %d, stderr:\n%s", code, p.err.text())
	}
	p = w.start("--sink", "console") // which needs no port
	w.connected()
	p.stop()
}

// The first signal drains, even right after the start: the library below socket would swallow it.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := startRelay(t, nil, "--simulate", "--rate", "200")
			p.err.find(t, "connected")
			p.signal(sig)
			if code := p.exit(); code != 0 {
				t.Errorf("exit code %d:\n%s", code, p.err.text())
			}
			if last := p.out.get(); len(p.out.rest) > 0 || len(last) > 0 && !json.Valid([]byte(last[len(last)-1])) {
				t.Error("the last line on stdout is cut")
			}
		})
	}
	t.Run("second signal", func(t *testing.T) {
		w := newWorld(t, simulatedRealtime)
		w.bot.delay = 30 * time.Second
		w.login()
		p := w.start("--sink", "bot")
		w.connected()
		w.live.emit(0, 1)
		time.Sleep(300 * time.Millisecond) // until the delivery is in progress
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGTERM) // the same signal, as timeout(1) sends it
		time.Sleep(sameSignal + 300*time.Millisecond)
		p.signal(syscall.SIGTERM)
		start := time.Now()
		if code := p.exit(); code != exit.Failure {
			t.Errorf("exit code %d, want %d", code, exit.Failure)
		}
		if time.Since(start) > daemon.DrainTime/2 {
			t.Error("the second signal did not stop it at once")
		}
		if !strings.Contains(p.err.text(), "stopped at once") {
			t.Errorf("stderr:\n%s", p.err.text())
		}
		w.bot.server.CloseClientConnections()
	})
}

// Treats received before relay is told to stop are still delivered.
func TestDrain(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.bot.delay = 2 * time.Millisecond
	w.login()
	p := w.start("--sink", "bot")
	w.connected()
	w.live.emit(0, 300)
	eventually(t, func() error {
		if len(w.bot.get()) == 0 {
			return fmt.Errorf("nothing arrives")
		}
		return nil
	})
	p.stop()
	got := titlesOf(t, w.bot.get())
	if want := w.journaledTitles(); !slices.Equal(got, want) {
		t.Errorf("%d events delivered, %d journaled", len(got), len(want))
	}
}

// A reader that stops reading does not keep relay from stopping.
func TestStalledReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := prepareRelay(t, "--simulate", "--rate", "2000")
	p.cmd.Stdout = w
	p.start(nil)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(r, 16).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // until the pipe is full
	p.stop()
}

func TestNATSHosts(t *testing.T) {
	for urls, want := range map[string]string{
		"nats://u:hunter2@h1:4222, nats://u:hunter2@h2:4222": "h1:4222,h2:4222",
		"nats://token@h:4222":                                "h:4222",
		"nats://u:hun ter2@h":                                "",
		"tls://h":                                            "h",
		"nats://u:%zz@h,nats://good":                         "good",
	} {
		if got := datadir.Hosts(urls); got != want {
			t.Errorf("natsHosts(%q) = %q, want %q", urls, got, want)
		}
	}
}

// With all faults of the simulator at once, relay continues, and every line it prints is an event with a unique id.
func TestSimulatedFaults(t *testing.T) {
	p := startRelay(t, nil, "--simulate", "--rate", "300", "--drop", "0.002", "--dup", "0.05", "--malformed", "0.1", "--expire-token", "2s", "--seed", "7")
	eventually(t, func() error {
		if n := len(p.out.get()); n < 800 {
			return fmt.Errorf("%d events, want 800; stderr:\n%s", n, p.err.text())
		}
		return nil
	})
	p.err.find(t, "payload rejected")
	p.err.find(t, "connection lost")
	p.stop()
	ids := map[string]bool{}
	for _, e := range events(t, p.out.get()) {
		if ids[e.ID] {
			t.Errorf("event %s was printed twice", e.ID)
		}
		ids[e.ID] = true
	}
}

// With the journal on an external server that is killed and restarted, the same guarantees hold.
func TestExternalJournal(t *testing.T) {
	server := natstest.Start(t)
	w := newWorld(t, simulatedRealtime)
	w.onServer(server.URL())
	w.login()
	p := w.start()
	w.connected()
	overlay := w.overlay()
	w.live.emit(0, 300)
	holds(t, "stdout", p.out, 0, 300)
	server.Kill()
	w.live.emit(300, 500) // while it is away
	p.err.find(t, "journal cannot be written")
	server.Restart()
	w.live.emit(500, 700)
	for name, sink := range map[string]*lines{"stdout": p.out, "NATS": overlay, "the webhook": w.bot.lines} {
		holds(t, name, sink, 0, 700)
	}
	p.stop()

	// At its start relay waits for a journal whose server is down.
	server.Stop()
	p = w.start("--sink", "console")
	p.err.find(t, "journal's server does not answer")
	p.stop() // told to stop while it waits
	p = w.start("--sink", "console")
	p.err.find(t, "journal's server does not answer")
	server.Restart()
	w.connected()
	w.live.emit(700, 710)
	holds(t, "stdout", p.out, 700, 710)
	p.stop()
}
