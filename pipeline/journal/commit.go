package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nuid"

	"github.com/treatrelay/relay/pipeline"
)

// Run writes what is enqueued until [Journal.Close], in order: all that waits in one append. A write that fails is tried again
// until it succeeds; meanwhile the sources wait. When ctx ends it gives up, and returns an error if anything was left unwritten. It is to be called once.
func (j *Journal) Run(ctx context.Context) error {
	j.running.Store(true)
	defer j.activity.idle()
	var batch []Item
	for {
		j.activity.idle()
		var ok bool
		if batch, ok = j.queue.take(batch[:0]); !ok {
			return nil
		}
		if err := j.commit(ctx, batch); err != nil {
			for _, item := range batch {
				item.done(0, err)
			}
			return fmt.Errorf("write the journal: %d entries left unwritten: %w", len(batch)+j.queue.len(), err)
		}
		clear(batch)
	}
}

// Close says that nothing more will be enqueued: [Journal.Run] writes what waits and returns.
func (j *Journal) Close() { j.queue.close() }

func (i *Item) done(number uint64, err error) {
	if i.Done != nil {
		i.Done(number, err)
	}
}

// commit writes a batch whatever it takes, and returns an error only when ctx ends.
func (j *Journal) commit(ctx context.Context, batch []Item) error {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	said := make(map[string]bool) // each kind of failure is logged once, for they take turns while a server comes and goes
	var since time.Time
	for {
		j.activity.step()
		start := time.Now()
		err := j.write(ctx, batch)
		if err == nil {
			if len(said) > 0 {
				j.logger.Info().Dur("after", time.Since(since)).Msg("journal writes again")
			}
			return nil
		}
		if j.metrics != nil {
			j.metrics.JournalFailures.Inc()
		}
		j.health.failed(start, len(batch), err)
		if text := err.Error(); !said[text] {
			if len(said) == 0 {
				since = start
			}
			said[text] = true
			j.logger.Error().Err(err).Int("waiting", len(batch)+j.queue.len()).
				Msg("journal cannot be written: treats wait in memory and nothing is delivered until it can; check the disk or the journal's server")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// write tries once to write the items, and reports those that are written.
func (j *Journal) write(ctx context.Context, items []Item) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	entries, where, err := j.fresh(ctx, items)
	if err != nil {
		return err
	}
	var numbers []uint64
	if len(entries) > 0 {
		numbers, err = j.log.Append(ctx, entries)
		if errors.Is(err, ErrTooLarge) {
			numbers, err = j.appendSmaller(ctx, entries)
		}
		if err != nil {
			return err
		}
	}
	records := make([]Record, len(entries))
	again := false
	for i := range entries {
		records[i] = Record{numbers[i], entries[i]}
		j.recent.note(&records[i])
		again = again || affectsDerived(&entries[i])
	}
	j.tail.add(records)
	if j.committed != nil && len(records) > 0 {
		j.committed(records)
	}
	if again {
		if err := j.derive(ctx); err != nil { // it is made up for at the next chance
			j.logger.Warn().Err(err).Msg("dead letters in the state are behind the journal; trying again")
		}
	}
	j.written(items, where, records)
	return nil
}

// fresh returns the entries to append, stamped, and for each item where among them it is, or -1 if it was written before.
func (j *Journal) fresh(ctx context.Context, items []Item) (entries []Entry, where []int, err error) {
	now := time.Now().UTC()
	if now.Before(j.lastTime) {
		now = j.lastTime
	}
	j.lastTime = now
	entries, where = make([]Entry, 0, len(items)), make([]int, len(items))
	for i := range items {
		e := items[i].Entry
		if number, known, err := j.recent.find(ctx, j, &e); err != nil {
			return nil, nil, err
		} else if known {
			where[i] = -1
			items[i].Ref = number // where written finds it
			continue
		}
		if e.Time.IsZero() {
			e.Time = now
		}
		if e.ID == "" {
			e.ID = "ent_" + nuid.Next()
		}
		items[i].Entry = e // a second attempt has the same time and ID
		where[i] = len(entries)
		entries = append(entries, e)
	}
	return entries, where, nil
}

// appendSmaller appends one by one, and of an entry that is too large only its beginning, as a reject: one must not hold up all.
func (j *Journal) appendSmaller(ctx context.Context, entries []Entry) (numbers []uint64, err error) {
	for i := range entries {
		one, err := j.log.Append(ctx, entries[i:i+1])
		if errors.Is(err, ErrTooLarge) {
			j.logger.Error().Err(err).Str("account", entries[i].Account).Int("bytes", len(entries[i].Data)).
				Msg("treat too large for the journal: only its beginning is kept, as a reject")
			entries[i] = cutEntry(&entries[i])
			one, err = j.log.Append(ctx, entries[i:i+1])
		}
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, one...)
	}
	return numbers, nil
}

// written counts what is on disk now and calls who waits.
func (j *Journal) written(items []Item, where []int, records []Record) {
	now, events := time.Now(), uint64(0)
	for i := range items {
		item := &items[i]
		if where[i] < 0 {
			item.done(item.Ref, nil)
			continue
		}
		r := &records[where[i]]
		switch {
		case r.Kind == Reject && j.metrics != nil:
			j.metrics.Rejected.WithLabelValues(r.Account).Inc()
		case r.Kind == Treat:
			events++
			if j.metrics != nil {
				j.metrics.Journaled.WithLabelValues(r.Account, string(r.Origin)).Inc()
				j.metrics.JournalLatency.Observe(now.Sub(item.Received).Seconds())
			}
			if j.trace != nil {
				j.trace(pipeline.Stage{ID: r.ID, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Began: item.Received, Ended: now})
			}
		}
		item.done(r.Number, nil)
	}
	j.health.wrote(now, events)
}

// activity says since when the committer is in one and the same step. The zero value is that of one that has nothing to do.
type activity struct{ since atomic.Pointer[time.Time] }

func (a *activity) step() {
	now := time.Now()
	a.since.Store(&now)
}

func (a *activity) idle() { a.since.Store(nil) }

// Stuck is how long [Journal.Run] has been in one and the same attempt to write, and zero while it has nothing to write. No
// attempt takes more than seconds, not even while the disk is full or the server is away.
func (j *Journal) Stuck() time.Duration {
	since := j.activity.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}
