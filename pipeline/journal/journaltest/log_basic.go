package journaltest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

func (s logSuite) order(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	if first, next := l.Bounds(); first != next || next != 1 {
		t.Errorf("an empty log has the bounds %d and %d", first, next)
	}
	if got := readAll(t, l, 1, 10); len(got) != 0 {
		t.Errorf("an empty log holds %v", got)
	}
	random, _ := randomness(t)
	var w written
	for range 40 {
		w.add(t, l, 1+random.IntN(60), random.IntN(3000))
	}
	if first := w.numbers[0]; first != 1 {
		t.Errorf("the first number is %d", first)
	}
	if first, _ := l.Bounds(); first != w.numbers[0] {
		t.Errorf("the log begins at %d", first)
	}
	if numbers, err := l.Append(t.Context(), nil); err != nil || len(numbers) != 0 {
		t.Errorf("append nothing: %v, %v", numbers, err)
	}
	for _, limit := range []int{1, 7, 1000} {
		from := random.IntN(len(w.numbers))
		checkRecords(t, readAll(t, l, w.numbers[from], limit), w.numbers[from:], w.entries[from:])
	}
	w.check(t, l)
	if got := gaps(t, l); len(got) != 0 {
		t.Errorf("gaps: %v", got)
	}
	if l.Size() <= 0 {
		t.Errorf("the log takes %d bytes", l.Size())
	}
}

func (s logSuite) reopened(t *testing.T) {
	location := s.NewLocation(t)
	var w written
	for range 4 {
		l := s.open(t, location)
		w.check(t, l)
		w.add(t, l, 30, 500)
		w.add(t, l, 1, 0)
		_, next := l.Bounds()
		closeLog(t, l)
		l = s.open(t, location)
		if _, again := l.Bounds(); again != next {
			t.Errorf("the next number is %d, and %d after reopening", next, again)
		}
		closeLog(t, l)
	}
}

func (s logSuite) changed(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	for i := range 20 {
		changed := l.Changed()
		_, before := l.Bounds()
		appended := make(chan error, 1)
		go func() {
			_, err := l.Append(t.Context(), entries(i, 1, 10))
			appended <- err
		}()
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatal("no change reported within a minute")
		}
		if _, after := l.Bounds(); after <= before {
			t.Errorf("the next number was %d, and is %d after a change", before, after)
		}
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
	}
}

func (s logSuite) readLimits(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	var w written
	const size = 300 << 10
	for range 8 {
		w.add(t, l, 5, size)
	}
	for from := w.numbers[0]; ; {
		part, err := l.Read(t.Context(), from, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(part) == 0 {
			break
		}
		if total := len(part) * size; total > 6<<20 {
			t.Errorf("%d MiB in one read", total>>20)
		}
		from = part[len(part)-1].Number + 1
	}
	w.check(t, l)
	last := w.numbers[len(w.numbers)-1]
	if got, err := l.Read(t.Context(), last+1, 10); err != nil || len(got) != 0 {
		t.Errorf("at the end: %d records, %v", len(got), err)
	}
	if got, err := l.Read(t.Context(), last+1<<40, 10); err != nil || len(got) != 0 {
		t.Errorf("far beyond the end: %d records, %v", len(got), err)
	}
	if got, err := l.Read(t.Context(), 0, 1); err != nil || len(got) != 1 || got[0].Number != w.numbers[0] {
		t.Errorf("from 0: %d records, %v", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ctx, 1, 10); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with a canceled context: %v", err)
	}
}

func (s logSuite) largeEntries(t *testing.T) {
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	w.add(t, l, 2, 100)
	for _, size := range []int{1 << 20, min(s.Largest, 8<<20-1<<10), s.Largest} {
		w.add(t, l, 1, min(size, s.Largest))
		w.add(t, l, 1, 10)
	}
	w.check(t, l)
	closeLog(t, l)
	l = s.open(t, location)
	defer func() { closeLog(t, l) }()
	w.check(t, l)
	for i, n := range w.numbers {
		if got, err := l.Read(t.Context(), n, 1); err != nil || len(got) != 1 || !sameEntry(got[0].Entry, w.entries[i]) {
			t.Errorf("number %d alone: %d records, %v", n, len(got), err)
		}
	}
}

func (s logSuite) tooLarge(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	var w written
	w.add(t, l, 3, 100)
	batch := entries(100, 3, 100)
	batch[1] = entry(101, 200<<20)
	if _, err := l.Append(t.Context(), batch); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("200 MiB: %v", err)
	}
	w.check(t, l) // nothing of the batch was stored
	w.add(t, l, 3, 100)
	w.check(t, l)
}

// readersAndWriter reads from different positions while the log is written.
func (s logSuite) readersAndWriter(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	random, _ := randomness(t)
	const batches, last = 60, "the last"
	var w written
	w.add(t, l, 100, 300)
	var readers sync.WaitGroup
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the readers took too long"))
	defer cancel()
	for reader := range 4 {
		start := reader * 30
		from := w.numbers[start]
		readers.Go(func() { follow(ctx, t, l, from, start, last) })
	}
	for range batches {
		w.add(t, l, 1+random.IntN(30), random.IntN(5000))
	}
	end := entry(len(w.entries), 0)
	end.Account = last
	appendAll(t, l, []journal.Entry{end})
	readers.Wait()
}

// follow reads the entries from the i-th on as they arrive, up to one of the account last.
func follow(ctx context.Context, t *testing.T, l journal.Log, from uint64, i int, last string) {
	for {
		changed := l.Changed()
		_, next := l.Bounds()
		part, err := l.Read(ctx, from, 13)
		if err != nil {
			t.Error(err)
			return
		}
		for _, r := range part {
			if r.ID != entry(i, 0).ID {
				t.Errorf("number %d is %s, want %s", r.Number, r.ID, entry(i, 0).ID)
				return
			}
			if r.Account == last {
				return
			}
			from, i = r.Number+1, i+1
		}
		if len(part) > 0 {
			continue
		}
		if from < next {
			t.Errorf("nothing from %d on, although the next number is %d", from, next)
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Error(context.Cause(ctx))
			return
		}
	}
}

func (s logSuite) retention(t *testing.T) {
	location := s.NewLocation(t)
	l := s.open(t, location)
	var w written
	for range 100 {
		w.add(t, l, 20, 1500)
	}
	const middle = 1000
	size := l.Size()
	if err := l.DropBefore(t.Context(), epoch()); err != nil {
		t.Fatal(err)
	}
	w.check(t, l)
	if err := l.DropBefore(t.Context(), w.entries[middle].Time); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		first, _ := l.Bounds()
		if first > w.numbers[middle] {
			t.Fatalf("the log begins at %d, although %d is recent enough", first, w.numbers[middle])
		}
		if first == w.numbers[0] || l.Size() >= size {
			t.Errorf("nothing of %d bytes was dropped: %d bytes remain, from number %d on", size, l.Size(), first)
		}
		kept := 0
		for w.numbers[kept] < first {
			kept++
		}
		checkRecords(t, readAll(t, l, 1, 1000), w.numbers[kept:], w.entries[kept:])
		if got := gaps(t, l); len(got) != 0 {
			t.Errorf("dropped records are reported as gaps: %v", got)
		}
		closeLog(t, l)
		l = s.open(t, location)
	}
	if err := l.DropBefore(t.Context(), epoch().Add(10*365*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = s.open(t, location)
	defer func() { closeLog(t, l) }()
	_, next := l.Bounds()
	if last := w.numbers[len(w.numbers)-1]; next <= last {
		t.Errorf("after everything was dropped, the next number is %d again", next)
	}
	more := entries(len(w.entries), 5, 100)
	numbers := appendAll(t, l, more)
	left := readAll(t, l, numbers[0], 1000)
	checkRecords(t, left, numbers, more)
}

// appendedAgain appends entries again, as a caller does that does not know whether they were stored.
func (s logSuite) appendedAgain(t *testing.T) {
	l := s.open(t, s.NewLocation(t))
	defer func() { closeLog(t, l) }()
	var w written
	w.add(t, l, 5, 100)
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 30 {
		batch := entries(len(w.entries), 4, 2000)
		stop := make(chan struct{})
		if i == 0 {
			cancel()
		}
		go func() {
			defer close(stop)
			cancel()
		}()
		numbers, err := l.Append(ctx, batch)
		<-stop
		if err != nil {
			numbers = appendAll(t, l, batch)
		}
		w.numbers, w.entries = append(w.numbers, numbers...), append(w.entries, batch...)
		ctx, cancel = context.WithCancel(t.Context())
	}
	cancel()
	w.check(t, l)
}
