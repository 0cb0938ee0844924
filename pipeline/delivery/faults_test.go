package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// copyDir makes a copy of a folder in the position of another.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// Whatever becomes of one copy of the cursors while relay is stopped, no lane's position moves: neither forth nor back.
func TestOneCopyOfTheCursorsIsEnough(t *testing.T) {
	flip := func(t *testing.T, path string, at func(size int) int) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[at(len(data))] ^= 0x10
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, harm := range map[string]func(t *testing.T, r *rig, older string){
		"nothing":      func(*testing.T, *rig, string) {},
		"file removed": func(t *testing.T, r *rig, _ string) { check(t, os.Remove(r.cursorFile())) },
		"file emptied": func(t *testing.T, r *rig, _ string) { check(t, os.Truncate(r.cursorFile(), 0)) },
		"file cut":     func(t *testing.T, r *rig, _ string) { check(t, os.Truncate(r.cursorFile(), 40)) },
		"file flipped in its first slot": func(t *testing.T, r *rig, _ string) {
			flip(t, r.cursorFile(), func(int) int { return 30 })
		},
		"file flipped in both slots": func(t *testing.T, r *rig, _ string) {
			flip(t, r.cursorFile(), func(int) int { return 30 })
			flip(t, r.cursorFile(), func(size int) int { return size/2 + 30 })
		},
		"file of before": func(t *testing.T, r *rig, older string) {
			data, err := os.ReadFile(filepath.Join(older, "cursors"))
			check(t, err)
			check(t, os.WriteFile(r.cursorFile(), data, 0o600))
		},
		"state removed": func(t *testing.T, r *rig, _ string) { check(t, os.RemoveAll(filepath.Join(r.dir, "state"))) },
		"state of before": func(t *testing.T, r *rig, older string) {
			copyDir(t, filepath.Join(older, "state"), filepath.Join(r.dir, "state"))
		},
		"cursor in the state removed": func(t *testing.T, r *rig, _ string) {
			again := newRig(t, r.dir, func(r *rig) { r.cursors = filepath.Join(t.TempDir(), "elsewhere") })
			check(t, again.state.Delete(t.Context(), journal.CursorKey("box")))
			check(t, again.state.Delete(t.Context(), journal.CursorKey("down")))
			again.stop()
		},
		"cursor in the state of another form": func(t *testing.T, r *rig, _ string) {
			again := newRig(t, r.dir, func(r *rig) { r.cursors = filepath.Join(t.TempDir(), "elsewhere") })
			_, err := again.state.Put(t.Context(), journal.CursorKey("box"), []byte(`{"next":`), journal.AnyRevision)
			check(t, err)
			again.stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, older := t.TempDir(), filepath.Join(t.TempDir(), "older")
			r := newRig(t, dir)
			var sink box
			down := &box{single: true, rule: func(context.Context, pipeline.Record) error {
				return pipeline.Unavailable(errors.New("connection refused"))
			}}
			_, stop := r.lane(&sink, LaneConfig{})
			_, stopDown := r.lane(down, LaneConfig{Sink: "down"})
			r.send("acc", 0, 10)
			r.holds(&sink, "acc", wantTitles(0, 10))
			for _, stop := range []func(bool) error{stop, stopDown} {
				check(t, stop(true))
			}
			r.stop()
			copyDir(t, dir, older)
			r = newRig(t, dir)
			_, stop = r.lane(&sink, LaneConfig{})
			_, stopDown = r.lane(down, LaneConfig{Sink: "down"})
			r.send("acc", 10, 20)
			r.holds(&sink, "acc", wantTitles(0, 20))
			for _, stop := range []func(bool) error{stop, stopDown} {
				check(t, stop(true))
			}
			r.stop()

			harm(t, r, older)
			r = newRig(t, dir)
			var up box
			_, stop = r.lane(&sink, LaneConfig{})
			_, stopDown = r.lane(&up, LaneConfig{Sink: "down"})
			r.send("acc", 20, 30)
			r.holds(&sink, "acc", wantTitles(0, 30))
			r.holds(&up, "acc", wantTitles(0, 30))
			for _, stop := range []func(bool) error{stop, stopDown} {
				check(t, stop(true))
			}
			if got := sink.count() + up.count(); got != 60 {
				t.Errorf("%d events, want 60", got)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The operator removes a sink's cursor while relay runs: the lane goes on, and so does the next.
func TestCursorRemovedWhileRunning(t *testing.T) {
	r := newRig(t, t.TempDir())
	var hold atomic.Bool
	hold.Store(true)
	sink := &box{single: true, rule: func(ctx context.Context, _ pipeline.Record) error {
		for hold.Load() {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Millisecond):
			}
		}
		return nil
	}}
	_, stop := r.lane(sink, LaneConfig{})
	r.send("acc", 0, 10)
	r.count("relay_sink_in_flight", 10)
	check(t, r.state.Delete(t.Context(), journal.CursorKey("box")))
	check(t, stop(false))
	var again box
	_, stop = r.lane(&again, LaneConfig{})
	r.holds(&again, "acc", wantTitles(0, 10))
	check(t, r.state.Delete(t.Context(), journal.CursorKey("box")))
	r.send("acc", 10, 20)
	r.holds(&again, "acc", wantTitles(0, 20))
	check(t, stop(true))
	if c := r.cursor("box"); c.Next != 21 || len(c.Open) > 0 {
		t.Errorf("cursor %+v", c)
	}
}

// heal journals events again that the journal had under these numbers, as the comparison with the history does.
func (r *rig) heal(account string, lost map[int]uint64) {
	r.t.Helper()
	for _, n := range slices.Sorted(maps.Keys(lost)) {
		e := newEvent(account, pipeline.OriginBackfill, n)
		entry := entryOf(r.t, &e)
		entry.Ref = lost[n]
		r.put(entry)
	}
}

// A journal whose end went back in time: what is new is delivered once, under other numbers; what had been accepted does not come again when it is healed; what
// had not does.
func TestJournalCutBack(t *testing.T) {
	for name, grow := range map[string]int{"before anything is new": 0, "and grown by somebody else": 3, "and grown beyond": 30} {
		t.Run(name, func(t *testing.T) {
			dir, older := t.TempDir(), filepath.Join(t.TempDir(), "older")
			r := newRig(t, dir)
			var sink box
			down := &box{rule: func(context.Context, pipeline.Record) error {
				return pipeline.Unavailable(errors.New("connection refused"))
			}}
			_, stop := r.lane(&sink, LaneConfig{})
			_, stopDown := r.lane(down, LaneConfig{Sink: "down"})
			r.send("acc", 0, 10)
			r.holds(&sink, "acc", wantTitles(0, 10))
			check(t, stop(true))
			check(t, stopDown(true))
			r.stop()
			copyDir(t, filepath.Join(dir, "journal"), older)
			if grow > 0 {
				// What puts something in while it is not known that the end is lost, on a state of then.
				copyDir(t, filepath.Join(dir, "state"), older+"-state")
			}
			r = newRig(t, dir)
			_, stop = r.lane(&sink, LaneConfig{})
			_, stopDown = r.lane(down, LaneConfig{Sink: "down"})
			r.send("acc", 10, 20)
			r.holds(&sink, "acc", wantTitles(0, 20))
			check(t, stop(true))
			check(t, stopDown(true))
			r.stop()

			copyDir(t, older, filepath.Join(dir, "journal"))
			if grow > 0 {
				newest := t.TempDir()
				copyDir(t, filepath.Join(dir, "state"), newest)
				copyDir(t, older+"-state", filepath.Join(dir, "state"))
				other := newRig(t, dir, func(r *rig) { r.cursors = filepath.Join(t.TempDir(), "elsewhere") })
				for n := range grow {
					e := newEvent("acc", pipeline.OriginLive, 100+n)
					other.put(entryOf(t, &e))
				}
				other.stop()
				copyDir(t, newest, filepath.Join(dir, "state"))
			}
			r = newRig(t, dir)
			var up box
			_, stop = r.lane(&sink, LaneConfig{})
			_, stopDown = r.lane(&up, LaneConfig{Sink: "down"})
			r.send("acc", 20, 30)
			want := append(wantTitles(100, 100+grow), wantTitles(20, 30)...)
			r.holds(&sink, "acc", append(wantTitles(0, 20), want...))
			r.holds(&up, "acc", append(wantTitles(0, 10), want...))
			if _, next := r.journal.Bounds(); next < 31 {
				t.Errorf("journal goes on with %d: a number was given twice", next)
			}
			if !r.lines.has("lost its end") && !r.lines.has("other entries") {
				t.Error("nothing is said of it")
			}
			if n := r.lines.count("the sink had not accepted"); n > 1 {
				t.Errorf("%d lines say what is lost", n)
			}
			if grow > 0 {
				check(t, stop(true))
				check(t, stopDown(true))
				return // numbers mean other events now: the index does not refer to them
			}
			lost := make(map[int]uint64)
			for n := 10; n < 20; n++ {
				lost[n] = uint64(n) + 1
			}
			r.heal("acc", lost)
			r.send("acc", 30, 31)
			r.holds(&up, "acc", slices.Concat(wantTitles(0, 10), wantTitles(20, 30), wantTitles(10, 20), wantTitles(30, 31)))
			r.holds(&sink, "acc", wantTitles(0, 31))
			check(t, stop(true))
			check(t, stopDown(true))
		})
	}
}

// A flipped byte costs the lanes at most the record that it is in, and that one is delivered when it is healed to those that lack it, and to no others.
func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	var sink box
	aside := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000004") || strings.Contains(string(rec.Line), "t000006") {
			return pipeline.RetryAfter(2*schedule.LongWait, errors.New("status 500"))
		}
		return nil
	}}
	down := &box{rule: func(context.Context, pipeline.Record) error {
		return pipeline.Unavailable(errors.New("connection refused"))
	}}
	_, stop := r.lane(&sink, LaneConfig{})
	_, stopAside := r.lane(aside, LaneConfig{Sink: "aside"})
	_, stopDown := r.lane(down, LaneConfig{Sink: "down"})
	r.send("acc", 0, 10)
	r.holds(&sink, "acc", wantTitles(0, 10))
	r.count("relay_sink_retries_waiting", 2)
	for _, stop := range []func(bool) error{stop, stopAside, stopDown} {
		check(t, stop(true))
	}
	r.stop()
	files, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
	check(t, err)
	flipped := false
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(t, err)
		if i := strings.Index(string(data), "t000004"); i > 0 {
			data[i] ^= 1
			check(t, os.WriteFile(file, data, 0o600))
			flipped = true
		}
	}
	if !flipped {
		t.Fatal("the event is in no file")
	}

	r = newRig(t, dir)
	var late, up box
	_, stop = r.lane(&sink, LaneConfig{})
	_, stopAside = r.lane(&late, LaneConfig{Sink: "aside"})
	_, stopDown = r.lane(&up, LaneConfig{Sink: "down"})
	r.send("acc", 10, 12)
	rest := slices.Concat(wantTitles(0, 4), wantTitles(5, 12))
	r.holds(&sink, "acc", wantTitles(0, 12))
	r.holds(&up, "acc", rest)
	r.holds(&late, "acc", wantTitles(10, 12))
	r.heal("acc", map[int]uint64{4: 5})
	r.send("acc", 12, 13)
	r.holds(&sink, "acc", wantTitles(0, 13))
	r.holds(&up, "acc", slices.Concat(rest, wantTitles(4, 5), wantTitles(12, 13)))
	// The one that was deferred waits for its time, whatever its number is now.
	retries := r.retries("aside")
	if len(retries) != 2 {
		t.Fatalf("retries %+v", retries)
	}
	check(t, stopAside(true))
	for _, one := range retries {
		one.Next, one.Floor = time.Now(), time.Time{}
		check(t, schedule.NewStore(r.state, "aside").Put(t.Context(), one))
	}
	_, stopAside = r.lane(&late, LaneConfig{Sink: "aside"})
	r.eventually(func() error {
		got := late.titles(t, "acc")
		slices.Sort(got)
		if want := slices.Concat(wantTitles(4, 5), wantTitles(6, 7), wantTitles(10, 13)); !slices.Equal(got, want) {
			return fmt.Errorf("%v, want %v; %s", got, want, r.lanes())
		}
		return nil
	})
	for _, stop := range []func(bool) error{stop, stopAside, stopDown} {
		check(t, stop(true))
	}
	if c := r.cursor("aside"); len(c.Open) > 0 {
		t.Errorf("cursor %+v", c)
	}
}

// Retries that are lost cost no event: its schedule starts over.
func TestLostRetries(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	refuse := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t00000") {
			return pipeline.RetryAfter(2*schedule.LongWait, errors.New("status 500"))
		}
		return nil
	}}
	_, stop := r.lane(refuse, LaneConfig{})
	r.send("acc", 9, 11) // one that is deferred, and one that passes
	r.send("acc", 1, 2)
	r.count("relay_sink_retries_waiting", 2)
	r.holds(refuse, "acc", wantTitles(10, 11))
	check(t, stop(true))
	r.stop()
	check(t, os.RemoveAll(filepath.Join(dir, "state")))
	r = newRig(t, dir)
	var sink box
	_, stop = r.lane(&sink, LaneConfig{})
	r.send("acc", 12, 13)
	r.holds(&sink, "acc", []string{"t000009", "t000001", "t000012"})
	check(t, stop(true))
	if c := r.cursor("box"); len(c.Open) > 0 || c.Next != 5 {
		t.Errorf("cursor %+v", c)
	}
}
