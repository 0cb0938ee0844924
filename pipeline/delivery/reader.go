package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/delivery/cursor"
	"github.com/treatrelay/relay/pipeline/journal"
)

// reader follows the journal's end for the lanes and passes each record to those that may need it.
type reader struct {
	journal *journal.Journal
	logger  zerolog.Logger
	dirty   func(sink string)                                   // the cursor of that lane must be saved
	shorter func(ctx context.Context, at cursor.Position) error // the journal has lost its end

	mu        sync.Mutex
	at        cursor.Position
	every     []*feed            // lanes of all accounts
	byAccount map[string][]*feed // lanes of some accounts
	bySink    map[string]*feed
	touched   []*feed // lanes that the current records concern
	trouble   outage
}

// outage describes why the journal cannot be read.
type outage struct {
	since time.Time // zero: it can be read
	err   error
}

func newReader(j *journal.Journal, at cursor.Position, logger zerolog.Logger) *reader {
	return &reader{journal: j, logger: logger, at: at, byAccount: make(map[string][]*feed), bySink: make(map[string]*feed)}
}

// position returns the reader's position. Each attached lane got everything before it.
func (r *reader) position() cursor.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

// run follows the journal until ctx ends.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := r.journal.Changed()
		s, err := cursor.Read(ctx, r.journal, r.position(), cursor.ReadAtOnce)
		if ctx.Err() != nil {
			return
		}
		failed := err != nil
		if failed {
			err = r.fail(ctx, err)
		}
		r.readable(err)
		switch {
		case err != nil:
			clock.Await(ctx, nil, nil, time.Second)
		case failed: // and handled
		case s.At.Next > r.at.Next: // only run moves it
			r.distribute(&s)
		default:
			clock.Await(ctx, nil, changed, -1)
		}
	}
}

// fail handles an error of reading. If the journal has lost its end or was replaced, each lane finds out where to go
// on, the reader continues at the end, and the error is nil.
func (r *reader) fail(ctx context.Context, err error) error {
	if errors.Is(err, cursor.ErrShorter) {
		err = r.shorter(ctx, r.position())
	} else if !errors.Is(err, cursor.ErrReplaced) {
		return err
	}
	if err != nil && !errors.Is(err, cursor.ErrReplaced) {
		return err
	}
	end, err := cursor.End(ctx, r.journal)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.detachAll()
	r.at = end
	return nil
}

// readable records whether the journal can be read, and logs when that changes.
func (r *reader) readable(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.trouble
	if err == nil {
		r.trouble = outage{}
		return
	}
	if r.trouble.err = err; was.since.IsZero() {
		r.trouble.since = time.Now()
	}
	if was.err == nil || was.err.Error() != err.Error() {
		r.logger.Warn().Err(err).Msg("journal cannot be read; waiting")
	}
}

// failing returns why the reader cannot read the journal.
func (r *reader) failing() outage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trouble
}

// distribute passes the result of a read to the lanes that may need it, and moves on.
func (r *reader) distribute(s *cursor.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range s.Records {
		switch record := &s.Records[i]; record.Kind {
		case journal.Treat, journal.Backfill:
			r.give(r.every, record)
			r.give(r.byAccount[record.Account], record)
		case journal.Resend:
			if f := r.bySink[record.Sink]; f != nil {
				r.giveOne(f, record)
			}
		default:
		}
	}
	if len(s.Missing) > 0 {
		r.touched = r.touched[:0]
		for _, f := range r.bySink {
			r.touched = append(r.touched, f)
		}
	}
	for _, f := range r.touched {
		if !f.put(f.pending, s.Missing, r.at, s.At) {
			r.remove(f)
		}
		clear(f.pending)
		f.pending = f.pending[:0]
		r.dirty(f.interest.sink)
	}
	clear(r.touched)
	r.touched = r.touched[:0]
	r.at = s.At
}

func (r *reader) give(feeds []*feed, record *journal.Record) {
	for _, f := range feeds {
		r.giveOne(f, record)
	}
}

func (r *reader) giveOne(f *feed, record *journal.Record) {
	if record.Number < f.from.Next {
		return // the lane has read it by itself
	}
	if len(f.pending) == 0 {
		r.touched = append(r.touched, f)
	}
	f.pending = append(f.pending, record)
}

// attach starts passing records to a lane if it is near the reader's position. It passes the records in between at once.
// It reports false if the lane must first read on by itself.
func (r *reader) attach(ctx context.Context, f *feed, at cursor.Position) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var records []*journal.Record
	var missing []journal.Range
	from := at
	for from.Next < r.at.Next {
		if r.at.Next-from.Next > cursor.ReadAtOnce {
			return false, nil
		}
		s, err := cursor.Read(ctx, r.journal, from, int(r.at.Next-from.Next)) //nolint:gosec // at most readAtOnce
		if err != nil || len(s.Aged) > 0 || s.At.Next == from.Next {
			return false, err
		}
		for i := range s.Records {
			if record := &s.Records[i]; f.interest.matches(record) {
				records = append(records, record)
			}
		}
		missing = append(missing, s.Missing...)
		from = s.At
	}
	f.mu.Lock()
	f.from, f.at = from, at
	f.mu.Unlock()
	if len(records)+len(missing) > 0 && !f.put(records, missing, at, from) {
		return false, nil
	}
	f.mu.Lock()
	f.attached = true // only now: before, an idle lane would save a cursor beyond what it got
	f.mu.Unlock()
	r.add(f)
	r.dirty(f.interest.sink)
	return true, nil
}

// detach is the opposite of attach. What the lane has not taken is read again. at is the lane's own position. It returns
// where the lane must read on.
func (r *reader) detach(f *feed, at func() cursor.Position) cursor.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.mu.Lock()
	whole := f.attached && f.empty()
	attached := f.attached
	f.attached, f.portion = false, portion{}
	f.mu.Unlock()
	if attached {
		r.remove(f)
		r.dirty(f.interest.sink) // before the reader moves on, since the saved cursor of an idle lane moves with it
	}
	now := at()
	if whole && now.Next < r.at.Next {
		now = r.at
	}
	return now
}

func (r *reader) add(f *feed) {
	r.bySink[f.interest.sink] = f
	if len(f.interest.accounts) == 0 {
		r.every = append(r.every, f)
	}
	for _, account := range f.interest.accounts {
		r.byAccount[account] = append(r.byAccount[account], f)
	}
}

func (r *reader) remove(f *feed) {
	is := func(other *feed) bool { return other == f }
	delete(r.bySink, f.interest.sink)
	r.every = slices.DeleteFunc(r.every, is)
	for _, account := range f.interest.accounts {
		if r.byAccount[account] = slices.DeleteFunc(r.byAccount[account], is); len(r.byAccount[account]) == 0 {
			delete(r.byAccount, account)
		}
	}
}

// detachAll makes all lanes read by themselves.
func (r *reader) detachAll() {
	for _, f := range r.bySink {
		f.mu.Lock()
		f.attached = false
		if r.at.Next > f.at.Next {
			f.at = r.at // everything it got was before it
		}
		f.mu.Unlock()
		r.remove(f)
		r.dirty(f.interest.sink) // as in detach
		f.wake()
	}
}
