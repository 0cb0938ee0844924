package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
)

// startTail starts relay tail, and waits until it follows the journal.
func (w *world) startTail(args ...string) *process {
	w.t.Helper()
	p := w.start(append([]string{"tail"}, args...)...)
	p.err.find(w.t, "following the journal")
	return p
}

// relay tail shows the selected events as they are journaled, across a restart of relay or of the journal's server.
func TestTail(t *testing.T) {
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external %t", external), func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			var server *natstest.Server
			if external {
				server = natstest.Start(t)
				w.onServer(server.URL())
			}
			w.login()
			p := w.start("--sink", "console")
			w.connected()
			w.live.emit(0, 3)
			holds(t, "stdout", p.out, 0, 3)

			all, table := w.startTail("--json"), w.startTail("--account", "mystream")
			some, past := w.startTail("--json", "--filter", `data.title endsWith "4"`), w.startTail("--json", "--since", "1h")
			if !external { // otherwise it asks the journal's server, which knows no accounts
				w.relay(exit.Usage, "tail", "--account", "other").err.find(t, `there is no account "other"; there are [mystream]`)
			}
			w.live.emit(3, 6)
			holds(t, "tail --json", all.out, 3, 6)
			holds(t, "tail --filter", some.out, 4, 5)
			holds(t, "tail --since", past.out, 0, 6)
			line := table.out.find(t, title(5))
			for _, want := range []string{"mystream", "live", "Viewer", "enjoy 🍕 !"} {
				if !strings.Contains(line, want) {
					t.Errorf("%q lacks %q", line, want)
				}
			}
			p.stop()
			if external {
				server.Stop()
				server.Restart()
			} else {
				all.err.find(t, "waiting for it")
			}
			p = w.start("--sink", "console")
			w.connected()
			w.live.emit(6, 9)
			holds(t, "tail --json", all.out, 3, 9)
			holds(t, "tail --since", past.out, 0, 9)
			table.out.find(t, title(8))
			for _, one := range []*process{all, table, some, past} {
				one.interrupt()
			}
			if len(table.out.get()) != 6 || len(some.out.get()) != 1 {
				t.Errorf("tail --account:\n%s\ntail --filter:\n%s", table.out.text(), some.out.text())
			}
			if external {
				if names := consumersOf(t, server.URL()); len(names) > 0 {
					t.Errorf("left on the server: %q", names)
				}
			}
			p.stop()
		})
	}
}

// consumersOf returns the names of the consumers of the journal on a server.
func consumersOf(t *testing.T, url string) (names []string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "RELAY_JOURNAL")
	if err != nil {
		t.Fatal(err)
	}
	for info := range stream.ListConsumers(t.Context()).Info() {
		names = append(names, info.Name)
	}
	return names
}

// A closed pipe ends relay tail quietly at the next event.
func TestTailIntoAClosedPipe(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tail := prepareRelay(t, append([]string{"tail", "--json", "--log-level", "debug"}, w.args()...)...)
	tail.cmd.Stdout = out
	tail.start(w.env())
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	tail.err.find(t, "following the journal")
	w.live.emit(0, 1)
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || !json.Valid([]byte(line)) {
		t.Fatalf("read %q: %v", line, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	w.live.emit(1, 3)
	if code := tail.exit(); code != exit.OK || strings.Contains(tail.err.text(), "relay:") {
		t.Errorf("exit code %d:\n%s", code, tail.err.text())
	}
	p.stop()
}
