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
	// Received is when its payload came, for the metrics and traces.
	Received time.Time
	// Done is called once the entry is on disk, with its number, or once it is sure that it will not be written. It does not wait. Nil: nobody is told.
	Done func(number uint64, err error)
}

func (i *Item) done(number uint64, err error) {
	if i.Done != nil {
		i.Done(number, err)
	}
}

// Enqueue hands an entry over to be written by [Journal.Run], in the order of the calls. It waits while too many, or too large ones, are before
// it. The error says that ctx ended meanwhile, or that the journal has ended.
func (j *Journal) Enqueue(ctx context.Context, item Item) error {
	if err := j.queue.put(ctx, item); err != nil {
		return fmt.Errorf("journal a treat of %s: %w", item.Account, err)
	}
	return nil
}

// Put writes entries, in their order, and returns their numbers when they are on disk. An entry with an ID that was put lately is not written
// again: its number is that of the first one. If ctx ends before, it is not known whether they will be written; they may be put again. Treats other than
// tests, and rejects, are not looked up in this way: whoever puts them knows what is journaled.
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

// putNow writes entries in this goroutine, for a journal that nobody runs.
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
