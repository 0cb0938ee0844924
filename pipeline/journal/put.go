package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Item is an entry on its way into the journal.
type Item struct {
	Entry
	// Received is when its payload arrived, for metrics and traces.
	Received time.Time
	// Done is called with the number once the entry is on disk, or with an error once it is certain that it will not
	// be. It must not block. Nil: not called.
	Done func(number uint64, err error)
}

func (i *Item) done(number uint64, err error) {
	if i.Done != nil {
		i.Done(number, err)
	}
}

// Enqueue queues an entry to be written by [Journal.Run], in the order of the calls. It blocks while the queue is full.
// It fails if ctx ends first or the journal has ended.
func (j *Journal) Enqueue(ctx context.Context, item Item) error {
	if err := j.queue.put(ctx, item); err != nil {
		return fmt.Errorf("journal a treat of %s: %w", item.Account, err)
	}
	return nil
}

// Put writes entries in order and returns their numbers once they are on disk. An entry whose ID was put recently is
// not written again; it gets the number of the first one. If ctx ends first, the entries may or may not be written; the
// caller may put them again. Treats other than tests, and rejects, are not checked for duplicates: their writers know
// what is journaled.
func (j *Journal) Put(ctx context.Context, entries ...Entry) ([]uint64, error) {
	if j.phase.Load() == phaseIdle {
		return j.putNow(ctx, entries)
	}
	type result struct {
		at     int
		number uint64
		err    error
	}
	results := make(chan result, len(entries))
	for i := range entries {
		err := j.queue.put(ctx, Item{Entry: entries[i], Received: time.Now(), Done: func(number uint64, err error) { results <- result{i, number, err} }})
		if err != nil {
			return nil, fmt.Errorf("write to the journal: %w", err)
		}
	}
	numbers := make([]uint64, len(entries))
	var errs error
	for range entries {
		select {
		case r := <-results:
			numbers[r.at], errs = r.number, errors.Join(errs, r.err)
		case <-ctx.Done():
			return nil, fmt.Errorf("write to the journal: %w", context.Cause(ctx))
		}
	}
	return numbers, errs
}

// putNow writes entries in the caller's goroutine, for a journal that nobody runs.
func (j *Journal) putNow(ctx context.Context, entries []Entry) ([]uint64, error) {
	items := make([]Item, len(entries))
	numbers := make([]uint64, len(entries))
	var errs error
	for i := range entries {
		items[i] = Item{Entry: entries[i], Received: time.Now(), Done: func(number uint64, err error) {
			numbers[i], errs = number, errors.Join(errs, err)
		}}
	}
	for len(items) > 0 {
		some, _ := oneAppend(items)
		n, err := j.write(ctx, items[:some])
		if err != nil {
			return nil, fmt.Errorf("write to the journal: %w", err)
		}
		items = items[n:]
	}
	return numbers, errs
}
