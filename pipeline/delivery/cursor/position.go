package cursor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// ReadAtOnce bounds the records per read.
const ReadAtOnce = 1024

// A Position is a position in the journal, before the number Next. ID and Time are those of the record before it, if
// known: a journal with another record there was replaced.
type Position struct {
	Next uint64
	ID   string
	Time time.Time
}

// Behind returns the position after a record.
func Behind(r *journal.Record) Position {
	return Position{Next: r.Number + 1, ID: r.ID, Time: r.Time}
}

// Of returns the position of a cursor.
func Of(c journal.Cursor) Position { return Position{c.Next, c.LastID, c.LastTime} }

var (
	// ErrReplaced means that the journal holds another record than it did at that number.
	ErrReplaced = errors.New("the journal holds other entries than before")
	// ErrShorter means that the journal ends before numbers that it has assigned.
	ErrShorter = errors.New("the journal has lost its end")
)

// A Step is the result of one read of the journal.
type Step struct {
	Records []journal.Record
	// Missing are numbers in between that the journal has lost.
	Missing []journal.Range
	// Aged are numbers that retention has dropped before they were read.
	Aged []journal.Range
	At   Position // the position after the step
}

// Read reads at most limit records from a position on. If the step does not go beyond from, there is nothing more. The
// error is ErrReplaced or ErrShorter if the position does not match the journal.
func Read(ctx context.Context, j *journal.Journal, from Position, limit int) (Step, error) {
	s := Step{At: from}
	first, next := j.Bounds()
	switch {
	case next < from.Next:
		return s, fmt.Errorf("%w: it continues with number %d, although %d was assigned", ErrShorter, next, from.Next-1)
	case from.Next < first:
		if err := s.skip(ctx, j, first); err != nil {
			return s, err
		}
	}
	start := s.At.Next
	if s.At.ID != "" && start > first { // read the previous record again to compare it
		start--
		limit++
	}
	records, err := j.Read(ctx, start, limit)
	if err != nil {
		return s, err
	}
	if len(records) > 0 && records[0].Number < s.At.Next {
		if records[0].ID != s.At.ID {
			return s, fmt.Errorf("%w: number %d is %s, and was %s", ErrReplaced, start, records[0].ID, s.At.ID)
		}
		// What others have written since is in the log only, where the one before may be the last in memory.
		if records = records[1:]; len(records) == 0 && s.At.Next < next {
			if records, err = j.Read(ctx, s.At.Next, limit-1); err != nil {
				return s, err
			}
		}
	}
	s.Records = records
	return s, s.pass(ctx, j, next)
}

// skip moves the step's position to the first number that the journal may hold.
func (s *Step) skip(ctx context.Context, j *journal.Journal, first uint64) error {
	gaps, err := j.Gaps(ctx)
	if err != nil {
		return fmt.Errorf("read which numbers the journal has lost: %w", err)
	}
	before := journal.Range{First: s.At.Next, Last: first - 1}
	s.Missing = Numbers(gaps).common(before)
	aged := Numbers{before}
	for _, gap := range s.Missing {
		aged = aged.without(gap)
	}
	s.Aged, s.At = aged, Position{Next: first, Time: s.At.Time}
	return nil
}

// pass moves the step's position past its records and lost numbers. next is the journal's next number before the read.
func (s *Step) pass(ctx context.Context, j *journal.Journal, next uint64) error {
	var holes []journal.Range
	expected := s.At.Next
	for i := range s.Records {
		if n := s.Records[i].Number; n != expected {
			holes = append(holes, journal.Range{First: expected, Last: n - 1})
		}
		expected = s.Records[i].Number + 1
	}
	open := len(s.Records) == 0 && next > expected // nothing is readable, although there was something
	if open {
		holes = append(holes, journal.Range{First: expected, Last: next - 1})
	}
	if len(holes) > 0 {
		gaps, err := j.Gaps(ctx)
		if err != nil {
			return fmt.Errorf("read which numbers the journal has lost: %w", err)
		}
		for _, hole := range holes {
			s.Missing = append(s.Missing, Numbers(gaps).common(hole)...)
		}
	}
	if n := len(s.Records); n > 0 {
		s.At = Behind(&s.Records[n-1])
	}
	if n := len(s.Missing); open && n > 0 { // what follows the last gap may still be on its way
		s.At = Position{Next: s.Missing[n-1].Last + 1, Time: s.At.Time}
	}
	return nil
}

// End returns the position at the journal's end.
func End(ctx context.Context, j *journal.Journal) (Position, error) {
	first, next := j.Bounds()
	end := Position{Next: next}
	if next <= first {
		return end, nil
	}
	records, err := j.Read(ctx, next-1, 1)
	if err == nil && len(records) > 0 && records[0].Number == next-1 {
		return Behind(&records[0]), nil
	}
	return end, err
}

// Verify checks whether the journal is the one that a position comes from. If it is not, Verify returns the position to
// continue at: after the records that are not newer than the one before the position, if that is known.
func Verify(ctx context.Context, j *journal.Journal, at Position) (to Position, replaced bool, err error) {
	first, next := j.Bounds()
	if at.Next <= first || at.Time.IsZero() {
		return at, false, nil // there is nothing left to compare with
	}
	since := at.Time.Add(1)
	if at.ID != "" && at.Next <= next {
		records, err := j.Read(ctx, at.Next-1, 1)
		switch {
		case err != nil:
			return at, false, err
		case len(records) > 0 && records[0].Number == at.Next-1 && records[0].ID == at.ID:
			return at, false, nil
		case len(records) > 0 && records[0].Number == at.Next-1:
			since = at.Time
		}
	}
	// The record before it is another one, or lost. Times never decrease, so in the same journal nothing newer comes
	// before the position.
	found, err := j.SeekTime(ctx, since)
	if err != nil || found >= min(at.Next, next) {
		return at, false, err
	}
	records, err := j.Read(ctx, found, 1)
	if err != nil || len(records) == 0 || records[0].Number >= at.Next {
		return at, false, err // only lost numbers
	}
	return Position{Next: records[0].Number, Time: at.Time}, true, nil
}

// Rebase adapts a cursor to a journal with other entries from a number on. Entries from there to the cursor are new, and
// so become open. Settled numbers that no longer exist stay settled.
func Rebase(ctx context.Context, j *journal.Journal, c journal.Cursor, from uint64) (fit journal.Cursor, fresh Numbers, err error) {
	last := Position{Time: c.LastTime}
	for at := from; at < c.Next; at = last.Next {
		records, err := j.Read(ctx, at, ReadAtOnce)
		if err != nil {
			return c, nil, err
		}
		for i := range records {
			if records[i].Number < c.Next {
				fresh.AddOne(records[i].Number)
				last = Behind(&records[i])
			}
		}
		if len(records) == 0 || records[len(records)-1].Number >= c.Next {
			break
		}
	}
	open, missing := Numbers(c.Open).Below(from), Numbers(c.Missing).Below(from)
	for _, lost := range [...]Numbers{c.Open, c.Missing} {
		for _, rng := range lost.common(journal.Range{First: from, Last: c.Next}) {
			missing.Add(rng)
		}
	}
	for _, rng := range fresh {
		open.Add(rng)
		missing = missing.without(rng)
	}
	fit = journal.Cursor{Next: c.Next, Open: open, Missing: missing, LastTime: last.Time}
	if last.Next == c.Next {
		fit.LastID = last.ID
	}
	return fit, fresh, nil
}
