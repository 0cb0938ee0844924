package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A place is where somebody stands in the journal: before the number next. id and time are those of the record before it, if they are known:
// a journal that holds another one there was replaced.
type place struct {
	next uint64
	id   string
	time time.Time
}

// behindRecord is the place behind a record.
func behindRecord(r *journal.Record) place {
	return place{next: r.Number + 1, id: r.ID, time: r.Time}
}

var (
	// errReplaced says that the journal holds another record than the one that was read there before.
	errReplaced = errors.New("the journal holds other entries than it did")
	// errShorter says that the journal ends before numbers that it has given.
	errShorter = errors.New("the journal has lost its end")
)

// A step is what was read of the journal at once.
type step struct {
	records []journal.Record
	// missing are numbers that the journal has lost, among those that were passed.
	missing []journal.Span
	// aged are numbers that it has dropped by age before they were read.
	aged []journal.Span
	at   place // behind them
}

// readOn reads at most limit records from a place on. A step that is not beyond from says that there is nothing more. The error is an errReplaced
// or an errShorter if the place does not fit the journal.
func readOn(ctx context.Context, j *journal.Journal, from place, limit int) (step, error) {
	s := step{at: from}
	first, next := j.Bounds()
	switch {
	case next < from.next:
		return s, fmt.Errorf("%w: it goes on with number %d, and %d was given", errShorter, next, from.next-1)
	case from.next < first:
		if err := s.skip(ctx, j, first); err != nil {
			return s, err
		}
	}
	start := s.at.next
	if s.at.id != "" && start > first { // read the one before again, to compare it
		start--
		limit++
	}
	records, err := j.Read(ctx, start, limit)
	if err != nil {
		return s, err
	}
	if len(records) > 0 && records[0].Number < s.at.next {
		if records[0].ID != s.at.id {
			return s, fmt.Errorf("%w: number %d is %s, and was %s", errReplaced, start, records[0].ID, s.at.id)
		}
		// What others have written since is in the log only, where the one before may be the last in memory.
		if records = records[1:]; len(records) == 0 && s.at.next < next {
			if records, err = j.Read(ctx, s.at.next, limit-1); err != nil {
				return s, err
			}
		}
	}
	s.records = records
	return s, s.pass(ctx, j, next)
}

// skip moves the step's place to the first number that the journal may hold.
func (s *step) skip(ctx context.Context, j *journal.Journal, first uint64) error {
	gaps, err := j.Gaps(ctx)
	if err != nil {
		return fmt.Errorf("read which numbers the journal has lost: %w", err)
	}
	before := journal.Span{First: s.at.next, Last: first - 1}
	s.missing = numbers(gaps).common(before)
	aged := numbers{before}
	for _, gap := range s.missing {
		aged = aged.without(gap)
	}
	s.aged, s.at = aged, place{next: first, time: s.at.time}
	return nil
}

// pass moves the step's place behind its records and over lost numbers. next is the number that the journal was about to give before they were read.
func (s *step) pass(ctx context.Context, j *journal.Journal, next uint64) error {
	var holes []journal.Span
	expected := s.at.next
	for i := range s.records {
		if n := s.records[i].Number; n != expected {
			holes = append(holes, journal.Span{First: expected, Last: n - 1})
		}
		expected = s.records[i].Number + 1
	}
	open := len(s.records) == 0 && next > expected // nothing can be read, though there was something
	if open {
		holes = append(holes, journal.Span{First: expected, Last: next - 1})
	}
	if len(holes) > 0 {
		gaps, err := j.Gaps(ctx)
		if err != nil {
			return fmt.Errorf("read which numbers the journal has lost: %w", err)
		}
		for _, hole := range holes {
			s.missing = append(s.missing, numbers(gaps).common(hole)...)
		}
	}
	if n := len(s.records); n > 0 {
		s.at = behindRecord(&s.records[n-1])
	}
	if n := len(s.missing); open && n > 0 { // what lies behind the last gap may only be on its way
		s.at = place{next: s.missing[n-1].Last + 1, time: s.at.time}
	}
	return nil
}

// endOf is the place at the journal's end.
func endOf(ctx context.Context, j *journal.Journal) (place, error) {
	first, next := j.Bounds()
	end := place{next: next}
	if next <= first {
		return end, nil
	}
	records, err := j.Read(ctx, next-1, 1)
	if err == nil && len(records) > 0 && records[0].Number == next-1 {
		return behindRecord(&records[0]), nil
	}
	return end, err
}

// verify finds out whether the journal is the one in which a place was, and where to go on if it is not: with what is newer than the record before the
// place, if that is known.
func verify(ctx context.Context, j *journal.Journal, at place) (to place, replaced bool, err error) {
	first, next := j.Bounds()
	if at.next <= first || at.time.IsZero() {
		return at, false, nil // nothing is left to compare it with
	}
	since := at.time.Add(1)
	if at.id != "" && at.next <= next {
		records, err := j.Read(ctx, at.next-1, 1)
		switch {
		case err != nil:
			return at, false, err
		case len(records) > 0 && records[0].Number == at.next-1 && records[0].ID == at.id:
			return at, false, nil
		case len(records) > 0 && records[0].Number == at.next-1:
			since = at.time
		}
	}
	// The record before it is another one, or lost. Times never fall, so that nothing newer is before the place, if it is the same journal.
	found, err := j.SeekTime(ctx, since)
	if err != nil || found >= min(at.next, next) {
		return at, false, err
	}
	records, err := j.Read(ctx, found, 1)
	if err != nil || len(records) == 0 || records[0].Number >= at.next {
		return at, false, err // there are only numbers that are lost
	}
	return place{next: records[0].Number, time: at.time}, true, nil
}

// refit makes a cursor fit a journal that holds other entries than it did from the number from on. Those that are there below the cursor are open, for they are new.
// Of numbers that are there no more, those that were settled stay so.
func refit(ctx context.Context, j *journal.Journal, c journal.Cursor, from uint64) (fit journal.Cursor, fresh numbers, err error) {
	last := place{time: c.LastTime}
	for at := from; at < c.Next; at = last.next {
		records, err := j.Read(ctx, at, readAtOnce)
		if err != nil {
			return c, nil, err
		}
		for i := range records {
			if records[i].Number < c.Next {
				fresh.addOne(records[i].Number)
				last = behindRecord(&records[i])
			}
		}
		if len(records) == 0 || records[len(records)-1].Number >= c.Next {
			break
		}
	}
	open, missing := numbers(c.Open).below(from), numbers(c.Missing).below(from)
	for _, lost := range [...]numbers{c.Open, c.Missing} {
		for _, span := range lost.common(journal.Span{First: from, Last: c.Next}) {
			missing.add(span)
		}
	}
	for _, span := range fresh {
		open.add(span)
		missing = missing.without(span)
	}
	fit = journal.Cursor{Next: c.Next, Open: open, Missing: missing, LastTime: last.time}
	if last.next == c.Next {
		fit.LastID = last.id
	}
	return fit, fresh, nil
}
