package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/journalcmd"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline"
)

// The journal is read and exported, and its events are replayed to the chosen sink only, with and without a running relay,
// with either journal engine.
func TestReplay(t *testing.T) {
	const ever = "2000-01-01"
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external %t", external), func(t *testing.T) {
			w := newWorld(t, simulatedRealtime)
			if external {
				w.onServer(natstest.Start(t).URL())
			}
			w.login()
			p := w.start()
			w.connected()
			w.live.emit(0, 5)
			holds(t, "stdout", p.out, 0, 5)
			before := w.delivered(5)
			lines := p.out.get()

			if got := w.relay(exit.OK, "history", "--json").out.get(); !slices.Equal(got, lines) {
				t.Errorf("history:\n%s", strings.Join(got, "\n"))
			}
			if got := w.relay(exit.OK, "history", "--since", ever, "--limit", "2", "--json").out.get(); !slices.Equal(got, lines[:2]) {
				t.Errorf("history:\n%s", strings.Join(got, "\n"))
			}
			if got := w.relay(exit.OK, "history", "--origin", "test", "--json").out.get(); len(got) > 0 {
				t.Errorf("history of nothing: %q", got)
			}
			w.checkExport(lines, before)

			if text := w.relay(exit.OK, "replay", "--sink", "bot", "--since", ever, "--dry-run").err.text(); !strings.Contains(text, "nothing was sent: 5 events for bot.") {
				t.Errorf("dry run: %s", text)
			}
			if text := w.relay(exit.OK, "replay", "--sink", "bot", "--since", ever, "--until", "2001-01-01").err.text(); !strings.Contains(text, "Nothing matched") {
				t.Errorf("replay of nothing: %s", text)
			}
			if text := w.relay(exit.OK, "replay", "--sink", "bot", "--id", before[2].ID).err.text(); !strings.HasSuffix(text, "Sent 1 event to bot again.") {
				t.Errorf("replay: %s", text)
			}
			checkReplays(t, w.delivered(6)[5:], before[2:3])
			overlay := w.overlay()
			for run := 1; run <= 2; run++ {
				w.relay(exit.OK, "replay", "--sink", "overlay", "--since", ever, "--account", "mystream")
				eventually(t, func() error {
					if got := len(overlay.get()); got < 5+5*run {
						return fmt.Errorf("the overlay has %d events, want %d", got, 5+5*run)
					}
					return nil
				})
				checkReplays(t, events(t, overlay.get())[5*run:], before)
			}
			if got := w.relay(exit.OK, "history", "--origin", "replay", "--json").out.get(); len(got) != 11 {
				t.Errorf("%d replays in the journal, want 11", len(got))
			}
			replays := 0
			for _, step := range w.trace(before[2].ID) {
				if step.Step == "resent" && step.Replay {
					replays++
				}
			}
			if replays != 3 {
				t.Errorf("the trace shows %d replays, want 3", replays)
			}
			p.stop()

			if text := w.relay(exit.OK, "replay", "--sink", "bot", "--since", ever, "--origin", "live").err.text(); !strings.Contains(text, "Sent 5 events to bot again. No relay runs on this data folder; it delivers at its next start.") {
				t.Errorf("replay without a relay: %s", text)
			}
			p = w.start()
			checkReplays(t, w.delivered(11)[6:], before)
			w.relay(exit.OK, "sinks", "disable", "bot")
			if text := w.relay(exit.OK, "replay", "--sink", "bot", "--since", ever).err.text(); !strings.Contains(text, "to deliver to it, run: relay sinks enable bot"+w.flags()) {
				t.Errorf("replay to a disabled sink: %s", text)
			}
			w.relay(exit.OK, "sinks", "enable", "bot")
			checkReplays(t, w.delivered(16)[11:], before)
			p.stop()
			if len(p.out.get()) > 0 {
				t.Errorf("another sink got replays:\n%s", p.out.text())
			}
			w.noSecrets(p)
		})
	}
}

// checkExport checks the export of the journal, as JSON lines and as CSV.
func (w *world) checkExport(lines []string, all []pipeline.Event) {
	t := w.t
	t.Helper()
	if got := w.relay(exit.OK, "export").out.get(); !slices.Equal(got, lines) {
		t.Errorf("export:\n%s", strings.Join(got, "\n"))
	}
	path := filepath.Join(w.dir, "treats.csv")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := w.relay(exit.OK, "export", "--format", "csv", "--output", path).err.text(); !strings.Contains(text, fmt.Sprintf("Wrote %d events to %s.", len(all), path)) {
		t.Errorf("export: %s", text)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
	if err != nil || len(rows) != len(all)+1 || !slices.Equal(rows[0], journalcmd.CSVHeader()) || strings.Count(string(data), "\r\n") != len(rows) {
		t.Fatalf("%q: %v", data, err)
	}
	for i, e := range all {
		if !slices.Equal(rows[i+1], journalcmd.CSVRow(&e)) {
			t.Errorf("row %d is %q", i+1, rows[i+1])
		}
	}
	left, err := filepath.Glob(filepath.Join(w.dir, ".treats*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// A replay that is stopped prints the command to resume it, which sends the rest and nothing twice.
func TestReplayStopped(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console,bot")
	w.connected()
	for i, at := range []string{"21:00:00", "21:00:01", "23:00:00", "23:00:00"} {
		treat := treatOf(i)
		treat["date_created"] = "2026-07-16 " + at
		data, err := json.Marshal(treat)
		if err != nil {
			t.Fatal(err)
		}
		w.sim.EmitRaw(data)
	}
	before := w.delivered(4)
	replay := w.start("replay", "--sink", "bot", "--since", "2000-01-01", "--speed", "10x")
	w.delivered(6) // the next would be sent in twelve minutes
	w.live.emit(4, 5)
	holds(t, "stdout", p.out, 0, 5)
	replay.signal(syscall.SIGINT)
	if code := replay.exit(); code != exit.Failure {
		t.Errorf("exit code %d", code)
	}
	replay.err.find(t, "Sent 2 events to bot again, not all.")
	_, command, ok := strings.Cut(replay.err.find(t, "To continue"), "To continue within two hours, run: relay ")
	if !ok {
		t.Fatalf("it does not say how: %s", replay.err.text())
	}
	args := strings.Fields(replaceOnce(t, command, "--speed 10x", "--speed max"))
	for range 2 { // running it twice sends nothing more
		if text := w.relay(exit.OK, args...).err.text(); !strings.Contains(text, "Sent 2 events to bot again.") {
			t.Errorf("the rest: %s", text)
		}
	}
	w.live.emit(5, 6)
	after := w.delivered(4 + 4 + 2)
	replayed := slices.DeleteFunc(after, func(e pipeline.Event) bool { return e.Origin != pipeline.OriginReplay })
	checkReplays(t, replayed, before)
	p.stop()
}

// A test treat reaches every sink, or only the chosen one, at once or when relay runs again.
func TestTrigger(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start()
	w.connected()
	var seen []string
	trigger := func(args ...string) (pipeline.Event, string) {
		t.Helper()
		run := w.relay(exit.OK, append([]string{"trigger"}, args...)...)
		all := events(t, run.out.get())
		if len(all) != 1 || all[0].Origin != pipeline.OriginTest || !strings.HasPrefix(all[0].ID, "tst_") || slices.Contains(seen, all[0].ID) {
			t.Fatalf("trigger %q prints %s", args, run.out.text())
		}
		seen = append(seen, all[0].ID)
		return all[0], run.err.text()
	}
	first, text := trigger("--sender", "Ann", "--title", "Pizza", "--message", "hi <b>")
	if *first.Data.Sender != "Ann" || *first.Data.Title != "Pizza" || *first.Data.Message != "hi <b>" || first.Data.Account != "mystream" {
		t.Errorf("event %+v", first)
	}
	if want := "Journaled.\nTo see its path, run: relay trace " + first.ID + w.flags(); !strings.HasSuffix(text, want) {
		t.Errorf("stderr %q", text)
	}
	alone, _ := trigger("--sink", "bot", "--sender", "")
	if !alone.Data.Anonymous {
		t.Errorf("event %+v", alone)
	}
	w.delivered(2)
	w.awaitEvent(alone.ID)
	for _, id := range []string{first.ID, alone.ID} {
		eventually(t, func() error {
			steps := w.trace(id)
			received := slices.ContainsFunc(steps, func(s api.TraceStep) bool { return s.Origin == pipeline.OriginTest && s.Account == "mystream" })
			accepted := slices.ContainsFunc(steps, func(s api.TraceStep) bool { return s.Sink == "bot" && s.Status == http.StatusOK && s.Error == "" })
			if !received || !accepted {
				return fmt.Errorf("trace: %+v", steps)
			}
			return nil
		})
	}
	w.live.emit(0, 1)
	w.delivered(3)
	p.stop()
	if got := events(t, p.out.get()); len(got) != 2 || got[0].ID != first.ID || *got[1].Data.Title != title(0) {
		t.Errorf("stdout has %s", p.out.text())
	}

	w.configure(func(s *settings) { s.Sinks["console"].Tests = "skip" })
	late, text := trigger()
	if !strings.Contains(text, "No relay runs on this data folder; it delivers at its next start.") {
		t.Errorf("stderr %q", text)
	}
	p = w.start()
	w.awaitEvent(late.ID)
	w.connected()
	w.live.emit(1, 2)
	holds(t, "stdout", p.out, 1, 2) // and no test treat before it
	p.stop()
}
