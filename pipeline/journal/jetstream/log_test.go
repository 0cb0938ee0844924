package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/natstest"
	"github.com/treatrelay/relay/pipeline/journal"
)

func TestAppendAndRead(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	if first, next := l.Bounds(); first != 1 || next != 1 {
		t.Fatalf("bounds of an empty log: %d, %d", first, next)
	}
	changed := l.Changed()
	full := journal.Entry{
		Kind: journal.Resend, ID: "x1", Time: time.Unix(1, 5).UTC(), Provider: "treatstream", Origin: "replay", Type: "relay.alert", Sink: "web",
		EventID: "e1", Repeat: 3, Baseline: "b", Ref: 9, Data: bytes.Repeat([]byte{0, 255, '\r', '\n'}, 100),
	}
	got := appendAll(t, l, []journal.Entry{full})
	wantEqual(t, "numbers", got, []uint64{1})
	<-changed
	from := 0
	for _, n := range []int{1, 7, 30, 2562} { // few, a batch, and several of those
		appendAll(t, l, entries(from, from+n))
		from += n
	}
	records := readAll(t, l, 1)
	wantEqual(t, "numbers", numbers(records), upTo(1, 2601))
	if diff := cmp.Diff(full, records[0].Entry); diff != "" {
		t.Error(diff)
	}
	for i, r := range records[1:] {
		if diff := cmp.Diff(entry(i), r.Entry); diff != "" {
			t.Fatal(diff)
		}
	}
	records, err := l.Read(t.Context(), 1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "numbers", numbers(records), upTo(1000, 1002))
	if records, err := l.Read(t.Context(), 2602, 3); err != nil || len(records) > 0 {
		t.Errorf("%d records behind the end, %v", len(records), err)
	}
	if ranges := gaps(t, l); len(ranges) > 0 {
		t.Errorf("gaps %v", ranges)
	}
	if l.Size() <= 0 {
		t.Error("no size")
	}
}

// What is appended again with the same ids is stored once, whether the server remembers the ids or relay does.
func TestAppendAgain(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL())
	l := openOn(t, nc)
	first := appendAll(t, l, entries(0, 300))
	wantEqual(t, "again", appendAll(t, l, entries(0, 300)), first)
	wantEqual(t, "again, with more", appendAll(t, l, entries(290, 310)), upTo(291, 310))

	l.writing.Lock()
	l.recent = recent{} // now only the server knows
	l.writing.Unlock()
	wantEqual(t, "by the server", appendAll(t, l, entries(305, 312)), upTo(306, 312))
	l.writing.Lock()
	l.recent = recent{}
	l.writing.Unlock()
	wantEqual(t, "a batch, by the server", appendAll(t, l, entries(250, 400)), upTo(251, 400))
	mixed := append(entries(500, 501), entries(399, 400)...)
	mixed = append(mixed, entries(501, 502)...)
	wantEqual(t, "between new ones", appendAll(t, l, mixed), []uint64{401, 400, 402})
	wantEqual(t, "numbers", numbers(readAll(t, l, 1)), upTo(1, 402))
}

func TestOpenAgain(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL())
	t.Run("first", func(t *testing.T) {
		l := openOn(t, nc)
		appendAll(t, l, entries(0, 10))
		if err := l.Reserve(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if first, next := l.Bounds(); first != 1 || next != 101 {
			t.Errorf("bounds %d, %d", first, next)
		}
		wantEqual(t, "after a reserve", appendAll(t, l, entries(10, 20)), upTo(101, 110))
		if err := l.Reserve(t.Context(), 105); err != nil { // was given already
			t.Fatal(err)
		}
	})
	check := func(t *testing.T, l *opened) {
		records := readAll(t, l, 1)
		wantEqual(t, "ids", ids(records), wantIDs(0, 20))
		wantEqual(t, "numbers", numbers(records), append(upTo(1, 10), upTo(101, 110)...))
		wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 11, Last: 100}})
		if records, err := l.Read(t.Context(), 50, 1); err != nil || len(records) != 1 || records[0].Number != 101 {
			t.Errorf("from inside the gap: %v, %v", records, err)
		}
	}
	t.Run("second", func(t *testing.T) { check(t, openOn(t, nc)) })
	if err := (&client{nc: nc}).api(t.Context(), "STREAM.DELETE."+bucketStream, nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Run("without its bucket", func(t *testing.T) {
		l := openOn(t, nc)
		check(t, l)
		wantEqual(t, "next", appendAll(t, l, entries(20, 21)), []uint64{111})
	})
}

func TestReadersWhileWriting(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const n = 5000
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			for next := uint64(1); next <= n; {
				changed := l.Changed()
				records, err := l.Read(ctx, next, 1+reader*400)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range records {
					if r.Number != next || r.ID != entry(int(next-1)).ID {
						t.Errorf("number %d with %s, want %d", r.Number, r.ID, next)
						return
					}
					next++
				}
				if len(records) == 0 {
					select {
					case <-changed:
					case <-ctx.Done():
						t.Errorf("reader %d waits at %d", reader, next)
						return
					}
				}
			}
		})
	}
	for from := 0; from < n; {
		to := min(from+1+from%97, n)
		appendAll(t, l, entries(from, to))
		from = to
	}
	wg.Wait()
}

func TestRetention(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 1000))
	for _, from := range []int{0, 1, 437, 437, 999} {
		if err := l.DropBefore(t.Context(), entry(from).Time); err != nil {
			t.Fatal(err)
		}
		if first, next := l.Bounds(); first != uint64(from)+1 || next != 1001 {
			t.Errorf("bounds %d, %d after dropping %d", first, next, from)
		}
	}
	if err := l.DropBefore(t.Context(), entry(5000).Time); err != nil {
		t.Fatal(err)
	}
	if first, next := l.Bounds(); first != 1001 || next != 1001 {
		t.Errorf("bounds %d, %d when all is dropped", first, next)
	}
	wantEqual(t, "numbers", appendAll(t, l, entries(1000, 1010)), upTo(1001, 1010))
	wantEqual(t, "read", numbers(readAll(t, l, 1)), upTo(1001, 1010))
	if ranges := gaps(t, l); len(ranges) > 0 {
		t.Errorf("what was dropped is lost: %v", ranges)
	}
}

// Records that somebody else removes are lost, and said to be.
func TestRemovedRecords(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL())
	l := openOn(t, nc)
	appendAll(t, l, entries(0, 20))
	for _, sequence := range []int{7, 8, 20} {
		if err := l.client.api(t.Context(), "STREAM.MSG.DELETE."+StreamName, map[string]any{"seq": sequence}, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantEqual(t, "gaps", gaps(t, l), []journal.Range{{First: 7, Last: 8}, {First: 20, Last: 20}})
	wantEqual(t, "numbers", numbers(readAll(t, l, 1)), append(upTo(1, 6), upTo(9, 19)...))
	if records, err := l.Read(t.Context(), 20, 10); err != nil || len(records) > 0 {
		t.Errorf("%v, %v", records, err)
	}
	// The server remembers the ids of what is gone; it is stored again all the same.
	wantEqual(t, "healed", appendAll(t, l, entries(6, 8)), upTo(21, 22))
	l.writing.Lock()
	l.recent = recent{}
	l.writing.Unlock()
	wantEqual(t, "healed", appendAll(t, l, entries(19, 20)), upTo(23, 23))
	if err := l.client.api(t.Context(), "STREAM.PURGE."+StreamName, nil, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the purge is noticed", func() bool {
		ranges, err := l.Gaps(t.Context())
		return err == nil && cmp.Equal(ranges, []journal.Range{{First: 1, Last: 23}})
	})
	wantEqual(t, "next", appendAll(t, l, entries(30, 31)), []uint64{24})
}

func TestTooLarge(t *testing.T) {
	p := natstest.StartProgram(t, natsServer) // takes 1 MiB
	l := openOn(t, dial(t, p.URL()))
	large := entry(1)
	large.Data = bytes.Repeat([]byte("x"), 1<<20)
	_, err := l.Append(t.Context(), []journal.Entry{entry(0), large})
	if !errors.Is(err, journal.ErrTooLarge) || !strings.Contains(fmt.Sprint(err), "max_payload") || !strings.Contains(fmt.Sprint(err), p.Addr()) {
		t.Fatalf("error %v", err)
	}
	if _, next := l.Bounds(); next != 1 {
		t.Error("something was stored")
	}
	var all []journal.Entry
	for i := range 12 { // more than one request takes
		e := entry(i)
		e.Data = bytes.Repeat([]byte("x"), 1<<20-1000)
		all = append(all, e)
	}
	appendAll(t, l, all)
	wantEqual(t, "ids", ids(readAll(t, l, 1)), wantIDs(0, 12))
	records, err := l.Read(t.Context(), 1, 100)
	if err != nil || len(records) > 6 {
		t.Errorf("%d MiB in one read, %v", len(records), err)
	}
}

func TestAttach(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc, beside := dial(t, p.URL()), dial(t, p.URL())
	if _, _, err := Attach(t.Context(), Options{Conn: beside}); !errors.Is(err, journal.ErrNoJournal) {
		t.Fatalf("error %v", err)
	}
	l := openOn(t, nc)
	appendAll(t, l, entries(0, 5))
	log, state, err := Attach(t.Context(), Options{Conn: beside})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := l.Reserve(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, entries(5, 10))
	if _, err := l.state.Put(t.Context(), "k", []byte("v"), 0); err != nil {
		t.Fatal(err)
	}
	for next := uint64(0); next != 56; {
		changed := log.Changed()
		if _, next = log.Bounds(); next < 56 {
			<-changed
		}
	}
	wantEqual(t, "numbers", numbers(readAll(t, log, 1)), append(upTo(1, 5), upTo(51, 55)...))
	if v, _, err := state.Get(t.Context(), "k"); err != nil || string(v) != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

// What an attached log appends comes between what the owner writes, and the owner reads all of it.
func TestAttachedAppends(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	l := openOn(t, dial(t, p.URL()))
	appendAll(t, l, entries(0, 5))
	log := attachTo(t, p)
	appendAll(t, log, entries(5, 7))
	reaches := func(want uint64) {
		for next := uint64(0); next != want; {
			changed := l.Changed()
			if _, next = l.Bounds(); next != want {
				<-changed
			}
		}
	}
	reaches(8)
	wantEqual(t, "numbers", numbers(readAll(t, l, 1)), upTo(1, 7))
	appendAll(t, l, entries(7, 10)) // behind them, and at once
	appendAll(t, log, entries(10, 30))
	appendAll(t, l, entries(30, 50))
	wantEqual(t, "numbers", numbers(readAll(t, l, 1)), upTo(1, 50))

	// Both at the same time.
	var owner sync.WaitGroup
	owner.Go(func() {
		for n := 100; n < 200; n += 4 {
			appendAll(t, l, entries(n, n+4))
		}
	})
	for n := 200; n < 220; n += 2 {
		appendAll(t, log, entries(n, n+2))
	}
	owner.Wait()
	reaches(171)
	seen := make(map[string]bool)
	for _, r := range readAll(t, l, 51) {
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
	}
	if len(seen) != 120 {
		t.Errorf("%d entries, want 120", len(seen))
	}
}

// The stream of another version is not touched.
func TestFormerJournal(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL())
	former := journalConfig(time.Hour)
	former.Subjects = []string{"relay.journal.*", "relay.reject.*"}
	if err := (&client{nc: nc}).api(t.Context(), "STREAM.CREATE."+StreamName, former, nil); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func(context.Context, Options) (*Log, *State, error){Open, Attach} {
		_, _, err := open(t.Context(), Options{Conn: nc})
		if !errors.Is(err, ErrFormerJournal) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
	}
}

// What the operator has set on the stream stays.
func TestOperatorsSettings(t *testing.T) {
	p := natstest.StartProgram(t, natsServer)
	nc := dial(t, p.URL())
	t.Run("first", func(t *testing.T) { openOn(t, nc) })
	k := &client{nc: nc}
	info, err := k.info(t.Context(), StreamName, nil)
	if err != nil {
		t.Fatal(err)
	}
	info.Config.MaxBytes, info.Config.Description = 1<<30, "ours"
	if _, err := k.update(t.Context(), info.Config); err != nil {
		t.Fatal(err)
	}
	openOn(t, nc, func(o *Options) { o.Retention = 3 * time.Hour })
	if info, err = k.info(t.Context(), StreamName, nil); err != nil {
		t.Fatal(err)
	}
	if c := info.Config; c.MaxBytes != 1<<30 || c.Description != "ours" || c.MaxAge != 3*time.Hour {
		t.Errorf("MaxBytes %d, description %q, MaxAge %v", c.MaxBytes, c.Description, c.MaxAge)
	}
}
