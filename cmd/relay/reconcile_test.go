package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/internal/simulator"
	"github.com/treatrelay/relay/pipeline"
)

// sends has the simulator send treats from..to-1, which its history keeps.
func (w *world) sends(from, to int) {
	w.t.Helper()
	for n := from; n < to; n++ {
		if _, err := w.sim.Emit(simulator.Treat{Sender: "Viewer", SenderType: "twitch", Title: title(n)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Treats that are sent while relay is down reach every sink after its start, once each and in order; those of the time before it first
// ran reach none.
func TestMissedTreatsArrive(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.sends(90, 99)
	w.login()
	p := w.start()
	w.connected()
	overlay := w.overlay()
	p.err.find(t, "first look at the history")
	w.sends(0, 20)
	holds(t, "stdout", p.out, 0, 20)
	p.stop()
	holds(t, "stdout", p.out, 0, 20)

	w.sends(20, 40)
	p = w.start()
	w.connected()
	holds(t, "stdout", p.out, 20, 40)
	holds(t, "NATS", overlay, 0, 40)
	holds(t, "the webhook", w.bot.lines, 0, 40)
	for i, e := range events(t, overlay.get()) {
		want := pipeline.OriginLive
		if i >= 20 {
			want = pipeline.OriginBackfill
		}
		if e.Origin != want {
			t.Errorf("%s has the origin %s", *e.Data.Title, e.Origin)
		}
	}
	out, stderr, code := w.command("", "reconcile", "mystream", "--json")
	var result pipeline.Reconciliation
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exitOK || result.Healed != 0 || result.Held != 49 || result.FirstRun {
		t.Errorf("relay reconcile: exit code %d, %q (%v)\n%s", code, out, err, stderr)
	}
	w.noSecrets(p)
	p.stop()

	w.sends(40, 45)
	out, stderr, code = w.command("", "reconcile", "mystream")
	if code != exitOK || out != "" || !strings.Contains(stderr, "Compared 54 treats of mystream: 5 were missing and are journaled now.") {
		t.Errorf("relay reconcile alone: exit code %d, %q\n%s", code, out, stderr)
	}
	p = w.start()
	w.connected()
	holds(t, "the webhook", w.bot.lines, 0, 45)
	p.stop()
	w.noSecrets(p)
	if left, _ := filepath.Glob(filepath.Join(w.dir, "data", ".history*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// A connection that is lost costs no treat.
func TestLostConnectionIsHealed(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.err.find(t, "first look at the history")
	w.sim.DropConnections()
	w.sends(0, 10) // some of them before relay is back
	eventually(t, func() error {
		if n := len(p.out.get()); n < 10 {
			return fmt.Errorf("%d of 10 treats have arrived", n)
		}
		return nil
	})
	p.stop()
	got := titlesOf(t, p.out.get())
	slices.Sort(got)
	if len(got) != 10 || len(slices.Compact(got)) != 10 {
		t.Errorf("%d treats have arrived, want each of 10 once", len(p.out.get()))
	}
}

func TestBackfillFirstRun(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.sends(0, 10)
	w.login()
	p := w.start("--sink", "console", "--backfill-first-run")
	w.connected()
	holds(t, "stdout", p.out, 0, 10)
	p.stop()
}

func TestReconcileCommand(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"reconcile"}, exitUsage, "takes one argument"},
		{[]string{"reconcile", "nobody"}, exitUsage, `no account "nobody" that receives treats`},
		{[]string{"reconcile", "mystream"}, exitUnauthorized, "relay auth login mystream"},
	} {
		if out, stderr, code := w.command("", tt.args...); code != tt.code || out != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("%v: exit code %d, %q\n%s", tt.args, code, out, stderr)
		}
	}
	w.login()
	if _, stderr, code := w.command("", "reconcile", "mystream"); code != exitOK || !strings.Contains(stderr, "First look at the history of mystream") {
		t.Errorf("a first run: exit code %d\n%s", code, stderr)
	}
	p := w.start("--sink", "console")
	w.connected()
	if _, stderr, code := w.command("", "reconcile", "nobody"); code != exitUsage || !strings.Contains(stderr, `no account "nobody"`) {
		t.Errorf("while relay runs: exit code %d\n%s", code, stderr)
	}
	w.sim.RevokeAll()
	if _, stderr, code := w.command("", "reconcile", "mystream"); code != exitUnauthorized || !strings.Contains(stderr, "relay auth login mystream") {
		t.Errorf("with a withdrawn grant: exit code %d\n%s", code, stderr)
	}
	p.stop()
	w.noSecrets(p)
}
