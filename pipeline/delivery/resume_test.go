package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A stream is a destination that keeps what it is given in order, with the numbers, as the stream of the overlays does: it refuses copies, and may lose its
// end.
type stream struct {
	rule func(pipeline.Record) error

	mu     sync.Mutex
	held   []pipeline.Record
	copies int
	most   int // records in one call
	silent bool
}

func (*stream) BatchesAccounts() bool { return true }

func (*stream) Close() error { return nil }

func (s *stream) Deliver(ctx context.Context, records []pipeline.Record) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(records))
	for i, r := range records {
		if s.rule != nil {
			if err := s.rule(r); err != nil {
				return i, err
			}
		}
		if slices.ContainsFunc(s.held, func(other pipeline.Record) bool { return other.ID == r.ID }) {
			s.copies++
			continue
		}
		s.held = append(s.held, r)
	}
	return len(records), nil
}

func (s *stream) LastAccepted(context.Context) (uint64, string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent || len(s.held) == 0 {
		return 0, "", false, nil
	}
	last := slices.MaxFunc(s.held, func(a, b pipeline.Record) int { return int(a.Seq) - int(b.Seq) })
	return last.Seq, last.ID, true, nil
}

// lose makes the stream lose the last n messages, as in a power cut.
func (s *stream) lose(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = slices.Clone(s.held[:len(s.held)-n])
}

func (s *stream) titles(t *testing.T) (titles []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.held {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		titles = append(titles, *e.Data.Title)
	}
	return titles
}

func (s *stream) holds(r *rig, t *testing.T, want []string) {
	t.Helper()
	r.eventually(func() error {
		if got := s.titles(t); !slices.Equal(got, want) {
			return fmt.Errorf("the stream holds %v, want %v; %s", got, want, r.lanes())
		}
		return nil
	})
}

// What a destination has lost in a power cut it gets again, in order, and nothing else: not what it holds, not what became a dead letter.
func TestResumesWhereTheDestinationStands(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	s := &stream{rule: func(rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000017") {
			return pipeline.Permanent(errors.New("too large"))
		}
		return nil
	}}
	cfg := LaneConfig{Selection: rules.Selection{Accounts: []string{"a", "b"}}}
	_, stop := r.lane(s, cfg)
	for n := range 20 {
		r.send([]string{"a", "b", "other"}[n%3], n, n+1)
	}
	all := func(from, to int) (titles []string) {
		for n := from; n < to; n++ {
			if n%3 != 2 {
				titles = append(titles, fmt.Sprintf("t%06d", n))
			}
		}
		return titles
	}
	s.holds(r, t, all(0, 20)[:len(all(0, 20))]) // 17 is of the other account: no dead letter yet
	for _, lose := range []int{0, 1, 5, 13} {
		check(t, stop(true))
		r.stop()
		s.lose(lose)
		r = newRig(t, dir)
		_, stop = r.lane(s, cfg)
		s.holds(r, t, all(0, 20))
		check(t, stop(true))
		_, stop = r.lane(s, cfg)
	}
	if s.copies != 0 {
		t.Errorf("%d copies of what it held", s.copies)
	}
	check(t, stop(true))
}

// Dead letters and deferred events are not delivered in their position again after the destination has lost its end.
func TestResumesWithDeadLettersAndRetries(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	refused := 0
	s := &stream{rule: func(rec pipeline.Record) error {
		switch {
		case strings.Contains(string(rec.Line), "t000006"):
			refused++
			return pipeline.Permanent(errors.New("too large"))
		case strings.Contains(string(rec.Line), "t000002"), strings.Contains(string(rec.Line), "t000005"):
			return pipeline.RetryAfter(2*schedule.LongWait, errors.New("not now"))
		}
		return nil
	}}
	_, stop := r.lane(s, LaneConfig{})
	r.send("a", 0, 10)
	held := slices.Concat(wantTitles(0, 2), wantTitles(3, 5), wantTitles(7, 10))
	s.holds(r, t, held)
	r.count("relay_sink_dead_letters_total", 1)
	check(t, stop(true))
	r.stop()
	before := refused
	s.lose(4)
	r = newRig(t, dir)
	_, stop = r.lane(s, LaneConfig{})
	r.send("a", 10, 11)
	s.holds(r, t, append(held, "t000010"))
	if refused != before {
		t.Errorf("the dead letter was tried %d times more", refused-before)
	}
	retries := r.retries("box")
	if len(retries) != 2 || retries[0].Seq != 3 || retries[1].Seq != 6 {
		t.Fatalf("retries %+v", retries)
	}
	if c := r.place("box"); !slices.Equal(c.Open, []journal.Range{{First: 3, Last: 3}, {First: 6, Last: 6}}) {
		t.Errorf("cursor %+v", c)
	}
	check(t, stop(true))
	for _, one := range retries {
		one.Next, one.Floor = time.Now(), time.Time{}
		check(t, schedule.NewStore(r.state, "box").Put(t.Context(), one))
	}
	s.rule = nil
	_, stop = r.lane(s, LaneConfig{})
	s.holds(r, t, append(slices.Clone(held), "t000010", "t000002", "t000005"))
	check(t, stop(true))
	if s.copies != 0 {
		t.Errorf("%d copies", s.copies)
	}
}

// A process that is killed right after an event was deferred, when its cursor was not saved yet, still has that event.
func TestKilledAfterDeferral(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	s := &stream{rule: func(rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000001") {
			return pipeline.RetryAfter(2*schedule.LongWait, errors.New("not now"))
		}
		return nil
	}}
	_, stop := r.lane(s, LaneConfig{})
	r.send("a", 0, 1)
	s.holds(r, t, wantTitles(0, 1))
	check(t, r.home.store.Save(true))
	check(t, r.home.store.Copy(t.Context(), "box"))
	file, err := os.ReadFile(r.cursorFile())
	check(t, err)
	inState, _, err := r.state.Get(t.Context(), journal.CursorKey("box"))
	check(t, err)
	r.send("a", 1, 4)
	s.holds(r, t, []string{"t000000", "t000002", "t000003"})
	check(t, stop(false))
	_, err = r.state.Put(t.Context(), journal.CursorKey("box"), inState, journal.AnyRevision)
	check(t, err)
	r.stop()
	check(t, os.WriteFile(r.cursorFile(), file, 0o600))
	r = newRig(t, dir)
	_, stop = r.lane(s, LaneConfig{})
	if c := r.place("box"); !slices.Equal(c.Open, []journal.Range{{First: 2, Last: 2}}) {
		t.Errorf("cursor %+v", c)
	}
	check(t, stop(true))
}

// The destination may also hold more than the cursor knows, hold nothing, or come from elsewhere.
func TestResumesBeyondTheCursor(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	s := new(stream)
	_, stop := r.lane(s, LaneConfig{})
	r.send("a", 0, 5)
	s.holds(r, t, wantTitles(0, 5))
	check(t, stop(true))
	older := r.cursor("box")
	_, stop = r.lane(s, LaneConfig{})
	r.send("a", 5, 10)
	s.holds(r, t, wantTitles(0, 10))
	check(t, stop(true))
	goBack := func() {
		older.Generation = r.cursor("box").Generation + 1000 // as if relay was killed right after the first five
		value, err := pipeline.EncodeJSON(older)
		check(t, err)
		_, err = r.state.Put(t.Context(), journal.CursorKey("box"), value, journal.AnyRevision)
		check(t, err)
		r.stop()
		r = newRig(t, dir)
	}
	goBack()
	_, stop = r.lane(s, LaneConfig{})
	r.send("a", 10, 11)
	s.holds(r, t, wantTitles(0, 11))
	check(t, stop(true))
	if s.copies != 0 {
		t.Errorf("%d copies of what it held beyond the cursor", s.copies)
	}
	goBack()
	s.silent = true // it cannot say: the cursor counts
	_, stop = r.lane(s, LaneConfig{})
	s.holds(r, t, wantTitles(0, 11))
	r.eventually(func() error {
		s.mu.Lock()
		copies := s.copies
		s.mu.Unlock()
		if c := r.place("box"); c.Next != 12 || copies != 6 {
			return fmt.Errorf("cursor %+v, %d copies", c, copies)
		}
		return nil
	})
	check(t, stop(true))
	s.silent = false
	s.held[len(s.held)-1].ID = "trt_of_another_journal"
	_, stop = r.lane(s, LaneConfig{})
	r.send("a", 11, 12)
	s.holds(r, t, wantTitles(0, 12))
	check(t, stop(true))
	if s.copies != 6 {
		t.Errorf("%d copies", s.copies)
	}
}

// A thousand accounts that flood at once go through one queue, in the order of the journal and many at a time.
func TestTogether(t *testing.T) {
	const accounts, each = 1000, 20
	r := newRig(t, t.TempDir())
	s := &manyStream{}
	_, stop := r.lane(s, LaneConfig{})
	for n := range each {
		for a := range accounts {
			r.send(fmt.Sprintf("acc%04d", a), n, n+1)
		}
	}
	r.count("relay_sink_delivered_total", accounts*each)
	check(t, stop(true))
	if s.most < 2 || s.most > maxHandover || s.calls > accounts*each/2 {
		t.Errorf("at most %d records in one of %d calls", s.most, s.calls)
	}
	if !slices.IsSorted(s.numbers) || len(s.numbers) != accounts*each {
		t.Error("they did not come in the order of the journal")
	}
}

// A manyStream notes numbers.
type manyStream struct {
	numbers     []uint64 // there is one queue: it is called by one goroutine at a time
	most, calls int
}

func (*manyStream) BatchesAccounts() bool { return true }

func (*manyStream) Close() error { return nil }

func (s *manyStream) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	s.calls++
	s.most = max(s.most, len(records))
	for _, r := range records {
		s.numbers = append(s.numbers, r.Seq)
	}
	return len(records), nil
}
