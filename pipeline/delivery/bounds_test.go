package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A lane holds no more than some megabytes of large events, and those that it does not hold it reads when it has room.
func TestLargeEventsAreBounded(t *testing.T) {
	const n, size = 60, 1 << 20
	r := newRig(t, t.TempDir())
	release := make(chan struct{})
	sink := &box{single: true, rule: func(ctx context.Context, _ pipeline.Record) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
	l, _ := r.lane(sink, LaneConfig{})
	for i := range n {
		e := newEvent("acc", pipeline.OriginLive, i)
		text := strings.Repeat("x", size)
		e.Data.Message = &text
		r.put(entryOf(t, &e))
		l.ledger.mu.Lock()
		l.feed.mu.Lock()
		if held := l.ledger.bytes + l.feed.bytes + l.feed.inHand.bytes; held > maxHeldBytes+2*size {
			t.Errorf("%d bytes in hand after %d events", held, i)
		}
		l.feed.mu.Unlock()
		l.ledger.mu.Unlock()
	}
	r.eventually(func() error {
		if s := l.Status(); !s.Full && s.InFlight < 7 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	close(release)
	r.count("relay_sink_delivered_total", n)
	r.holds(sink, "acc", wantTitles(0, n))
}

// A backlog that is larger than what a lane holds goes out in order, whatever comes meanwhile.
func TestLaggingLaneCatchesUp(t *testing.T) {
	const n = 3 * maxHeld
	r := newRig(t, t.TempDir())
	down := &box{rule: func(context.Context, pipeline.Record) error {
		return pipeline.Unavailable(errors.New("connection refused"))
	}}
	_, stop := r.lane(down, LaneConfig{})
	r.send("acc", 0, n)
	r.eventually(func() error {
		if got := r.kept(); got != n {
			return fmt.Errorf("%d journaled", got)
		}
		return nil
	})
	check(t, stop(true))
	var sink box
	_, stop = r.lane(&sink, LaneConfig{})
	r.send("acc", n, n+500)
	r.holds(&sink, "acc", wantTitles(0, n+500))
	r.eventually(func() error { // and it is at the journal's end now
		if c := r.place("box"); c.Next != n+501 || len(c.Open) > 0 {
			return fmt.Errorf("cursor %+v", c)
		}
		return nil
	})
	check(t, stop(true))
}

// Thousands of lanes of an account each: an event costs the lanes nothing that do not want it, and idle lanes are where the journal ends when they are opened again.
func TestManyLanes(t *testing.T) {
	const lanes = 1000
	r := newRig(t, t.TempDir())
	sinks := make([]counter, lanes)
	var running []*Lane
	done := make(chan error, lanes)
	for i := range sinks {
		l, err := r.home.Open(t.Context(), &sinks[i], LaneConfig{Sink: fmt.Sprint("box", i), Accounts: []string{fmt.Sprint("acc", i)}, Log: zerolog.Nop()})
		check(t, err)
		running = append(running, l)
		go func() { done <- l.Run(context.WithoutCancel(t.Context())) }()
	}
	r.send("acc0", 0, 2000)
	r.send("acc500", 0, 2000)
	r.send("acc999", 0, 1)
	r.eventually(func() error {
		if a, b, c := sinks[0].n.Load(), sinks[500].n.Load(), sinks[999].n.Load(); a != 2000 || b != 2000 || c != 1 {
			return fmt.Errorf("%d, %d and %d events", a, b, c)
		}
		return nil
	})
	for _, l := range running {
		l.Drain()
	}
	for range running {
		check(t, <-done)
	}
	for i := range sinks {
		if c := r.cursor(fmt.Sprint("box", i)); c.Next != 4002 || len(c.Open) > 0 {
			t.Fatalf("cursor %+v of %d", c, i)
		}
		if n := sinks[i].n.Load(); i != 0 && i != 500 && i != 999 && n != 0 {
			t.Fatalf("%d events of others", n)
		}
	}
}

// A lane of the same name goes on where the one before ended, and none is opened beside it.
func TestLaneIsReopened(t *testing.T) {
	r := newRig(t, t.TempDir())
	var sink box
	_, stop := r.lane(&sink, LaneConfig{})
	if _, err := r.home.Open(t.Context(), &box{}, LaneConfig{Sink: "box", Log: r.logger()}); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("a second lane of that name: %v", err)
	}
	for n := range 5 {
		r.send("acc", 2*n, 2*n+1)
		r.holds(&sink, "acc", wantTitles(0, 2*n+1))
		check(t, stop(n%2 == 0))
		r.send("acc", 2*n+1, 2*n+2)
		_, stop = r.lane(&sink, LaneConfig{})
		r.holds(&sink, "acc", wantTitles(0, 2*n+2))
	}
	check(t, stop(true))
}

// Whatever byte of the file is flipped, cut or removed: one of the two slots is still read, or none, but never something else.
func TestSlotFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursors")
	f := slotFile{path: path}
	values := []string{"one", strings.Repeat("two", 100), strings.Repeat("three", 3000), "four", "five"}
	for i, value := range values {
		check(t, f.write([]byte(value), uint64(i+1)))
		got, generation, err := readSlots(path)
		if err != nil || string(got) != value || generation != uint64(i+1) {
			t.Fatalf("%d bytes of generation %d, %v", len(got), generation, err)
		}
	}
	f.close()
	whole, err := os.ReadFile(path)
	check(t, err)
	end := f.size + int64(slotHeader) + 10
	for at := range end {
		for name, data := range map[string][]byte{
			"flipped": slices.Concat(whole[:at], []byte{whole[at] ^ 1}, whole[at+1:]), "removed": slices.Delete(slices.Clone(whole), int(at), int(at)+1), "cut": whole[:at],
		} {
			if at > 600 && at < f.size-10 && at%97 != 0 {
				continue
			}
			check(t, os.WriteFile(path, data, 0o600))
			got, generation, err := readSlots(path)
			if err == nil && (generation < 4 || generation > 5 || string(got) != values[generation-1]) || err != nil && name != "cut" {
				t.Fatalf("byte %d %s: %q of generation %d, %v", at, name, got, generation, err)
			}
		}
	}
}

// FuzzCursors reads anything as cursors.
func FuzzCursors(f *testing.F) {
	end := place{next: 77, id: "trt_1", time: time.Unix(1, 2)}
	c := journal.Cursor{Next: 12, LastID: "trt_2", LastTime: time.Unix(3, 4), Open: []journal.Span{{First: 2, Last: 3}, {First: 9, Last: 9}}, Missing: []journal.Span{{First: 5, Last: 6}}}
	b := appendLane(header(nil, end), "box", &c, false, true)
	f.Add(appendLane(b, "idle", &c, true, false))
	f.Fuzz(func(t *testing.T, data []byte) {
		end, cursors, err := parseCursors(data, 5)
		if err != nil {
			return
		}
		again := header(nil, end)
		for sink, c := range cursors {
			again = appendLane(again, sink, &c, false, true)
		}
		_, same, err := parseCursors(again, 5)
		if err != nil || fmt.Sprint(same) != fmt.Sprint(cursors) {
			t.Errorf("%v, then %v, %v", cursors, same, err)
		}
	})
}

// The set of numbers does as one that is made of single numbers.
func TestNumbers(t *testing.T) {
	var set numbers
	single := make(map[uint64]bool)
	for i := range uint64(5000) {
		n := i*7919%97 + 1
		switch i % 3 {
		case 0, 1:
			last := n + i%4
			set.add(journal.Span{First: n, Last: last})
			for k := n; k <= last; k++ {
				single[k] = true
			}
		default:
			if set.remove(n) != single[n] {
				t.Fatalf("%d was in: %v", n, single[n])
			}
			delete(single, n)
		}
		if !set.valid() || set.count() != uint64(len(single)) {
			t.Fatalf("%v, want %d numbers", set, len(single))
		}
		for k := range uint64(105) {
			if set.holds(k) != single[k] {
				t.Fatalf("%v holds %d: %v", set, k, set.holds(k))
			}
		}
		below := set.below(n)
		if below.holds(n) || n > 1 && below.holds(n-1) != single[n-1] {
			t.Fatalf("%v below %d: %v", set, n, below)
		}
	}
}
