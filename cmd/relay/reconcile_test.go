package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
)

// Treats sent while relay is down reach every sink after its start, once each and in order. Treats from before its first run
// reach none.
func TestMissedTreatsArrive(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.sendsTo("", 90, 99, time.Hour)
	w.login()
	p := w.start()
	w.connected()
	overlay := w.overlay()
	p.err.find(t, "first comparison with the history")
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
	var result intake.Reconciliation
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exit.OK || result.Healed != 0 || result.Held != 49 || result.FirstRun {
		t.Errorf("relay reconcile: exit code %d, %q (%v)\n%s", code, out, err, stderr)
	}
	w.noSecrets(p)
	p.stop()

	w.sends(40, 45)
	out, stderr, code = w.command("", "reconcile", "mystream", "--json")
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exit.OK || result.Healed != 5 || result.Held != 54 {
		t.Errorf("relay reconcile alone: exit code %d, %q (%v)\n%s", code, out, err, stderr)
	}
	p = w.start()
	w.connected()
	holds(t, "the webhook", w.bot.lines, 0, 45)
	p.stop()
	w.noSecrets(p)
	if left, _ := filepath.Glob(w.data(".history*")); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// A lost connection loses no treat.
func TestLostConnectionIsHealed(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	p := w.start("--sink", "console")
	w.connected()
	p.err.find(t, "first comparison with the history")
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

// A sink with "backfill: digest" gets one digest instead of the missed treats, even if relay is killed during the backfill,
// or if relay reconcile journals them while no relay runs.
func TestMissedTreatsArriveAsADigest(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	summary := newReceiver(t)
	sink := webhookTo(summary.server.URL)
	sink.Backfill = "digest"
	w.addSink("summary", sink)
	w.login()
	p := w.start()
	w.connected()
	p.err.find(t, "first comparison with the history")
	w.sends(0, 5)
	holds(t, "stdout", p.out, 0, 5)
	holds(t, "the summary", summary.lines, 0, 5)
	p.stop()

	w.sends(5, 25)
	p = w.start()
	w.connected()
	holds(t, "the webhook", w.bot.lines, 0, 25)
	digests := w.digests(summary, 20)
	if d := digests[0]; len(digests) != 1 || d.Data.Count != 20 || d.Data.Senders != 1 || d.Data.From[0] != "Viewer" || d.Data.Top[0].Title != title(5) {
		t.Errorf("digests %+v", digests)
	}
	if lines := w.relay(exit.OK, "history", "--json").out.get(); len(lines) != 25 {
		t.Errorf("the history has %d events, want 25", len(lines))
	}
	p.stop()
	if steps := w.trace(digests[0].ID); !slices.ContainsFunc(steps, func(s api.TraceStep) bool {
		return s.Step == "attempt" && s.Sink == "summary" && s.Status == http.StatusOK && s.Error == ""
	}) {
		t.Errorf("trace %+v", steps)
	}
	if text := w.relay(exit.OK, "trace", digests[0].ID).out.text(); !strings.Contains(text, "digest of missed treats of account mystream") {
		t.Errorf("trace:\n%s", text)
	}

	w.sends(25, 1525)
	for range 4 {
		before := len(w.bot.get())
		p = w.start()
		eventually(t, func() error { // the first time, as soon as a backfilled treat has arrived
			if len(w.bot.get()) == before {
				return fmt.Errorf("%d treats have arrived", before)
			}
			return nil
		})
		p.signal(syscall.SIGKILL)
		p.exit()
	}
	p = w.start()
	digests = w.digests(summary, 1520)
	ids := w.eachOnce(1525)
	if len(ids) != 1525 {
		t.Errorf("%d treats have arrived, want 1525", len(ids))
	}
	p.stop()

	w.sends(1525, 1530)
	w.relay(exit.OK, "reconcile", "mystream")
	p = w.start()
	w.connected()
	if again := w.digests(summary, 1525); len(again) != len(digests)+1 || again[len(again)-1].Data.Count != 5 {
		t.Errorf("after relay reconcile: %d digests, before %d", len(again), len(digests))
	}
	p.stop()
	w.noSecrets(p)
}

// digests waits until the receiver's digests sum up this many treats, and returns each digest once. No single treat with the origin backfill may have arrived.
func (w *world) digests(r *receiver, treats int) (all []pipeline.Digest) {
	w.t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/digest.schema.json")
	if err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, func() error {
		all = nil
		seen, sum := make(map[string]bool), 0
		for _, line := range r.get() {
			var d pipeline.Digest
			if e, err := (pipeline.Record{Line: []byte(line)}).Event(); err == nil && e.Type == pipeline.EventType {
				if e.Origin == pipeline.OriginBackfill {
					w.t.Fatalf("a single treat came: %s", line)
				}
				continue
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			if err == nil {
				err = errors.Join(schema.Validate(value), json.Unmarshal([]byte(line), &d))
			}
			if err != nil {
				w.t.Fatalf("%v in %s", err, line)
			}
			if !seen[d.ID] { // a kill may repeat a digest
				seen[d.ID] = true
				all = append(all, d)
				sum += d.Data.Count
			}
		}
		if sum != treats {
			return fmt.Errorf("%d digests count %d treats, want %d", len(all), sum, treats)
		}
		return nil
	})
	return all
}
