package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Run writes the enqueued entries in order until [Journal.Close], all that wait in one append. It retries a failed
// write until it succeeds; meanwhile Enqueue blocks. It also drops entries older than the retention. If ctx ends, Run
// stops, and returns an error if anything is left unwritten. Call it once.
func (j *Journal) Run(ctx context.Context) error {
	j.phase.Store(phaseRunning)
	beside, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { j.watchLog(beside) })
	helpers.Go(func() { j.maintain(beside) })
	err := j.writeAll(ctx)
	stop()
	helpers.Wait()
	j.endMaintenance(ctx)
	j.phase.Store(phaseEnded)
	j.changed.fire() // waiters continue with the log's own channel
	return err
}

// Close ends the journal: [Journal.Run] writes what waits and returns. Nothing may be enqueued afterwards.
func (j *Journal) Close() { j.queue.close() }

func (j *Journal) writeAll(ctx context.Context) error {
	defer j.activity.idle()
	var batch []Item
	for {
		j.activity.idle()
		var ok bool
		if batch, ok = j.queue.take(batch[:0]); !ok {
			return nil
		}
		if left, err := j.commit(ctx, batch); err != nil {
			left = append(left, j.queue.abandon()...)
			for i := range left {
				left[i].done(0, err)
			}
			return fmt.Errorf("write the journal: %d entries left unwritten: %w", len(left), err)
		}
		clear(batch)
	}
}

// watchLog announces what other processes have written to the log.
func (j *Journal) watchLog(ctx context.Context) {
	w := &j.writer
	for {
		changed := j.cfg.Log.Changed()
		// While this process appends, write announces the change when it is done.
		if _, next := j.cfg.Log.Bounds(); !w.appending.Load() && w.announced.Swap(next) != next {
			j.changed.fire()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// commit writes a batch and retries until it succeeds: the disk may be full (ENOSPC), or the journal's server away. It
// fails only if ctx ends, and returns the items that are left.
func (j *Journal) commit(ctx context.Context, batch []Item) (left []Item, err error) {
	wait := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(20*time.Millisecond), backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(0))
	var logged map[string]bool // failures that were logged, each once, since they alternate while a server comes and goes
	var since time.Time
	for {
		start := j.activity.step()
		n, err := j.write(ctx, batch)
		batch = batch[n:]
		if err == nil && len(batch) == 0 {
			if logged != nil {
				j.cfg.Logger.Info().Dur("after", time.Since(since)).Msg("journal writes again")
			}
			return nil, nil
		}
		if err == nil {
			continue
		}
		if j.cfg.Metrics != nil {
			j.cfg.Metrics.JournalFailures.Inc()
		}
		j.health.failed(start, len(batch), err)
		if text := err.Error(); !logged[text] {
			if logged == nil {
				logged, since = make(map[string]bool), start
			}
			logged[text] = true
			j.cfg.Logger.Error().Err(err).Int("waiting", len(batch)+j.queue.len()).
				Msg("journal cannot be written: treats wait in memory and nothing is delivered until it can; check the disk or the journal's server")
		}
		select {
		case <-ctx.Done():
			return batch, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// writer is the state of the committer. mu guards all but appending and announced.
type writer struct {
	appending atomic.Bool   // this process is appending
	announced atomic.Uint64 // the next number at the last announcement of a change

	mu       sync.Mutex // one append at a time
	lastTime time.Time  // time of the newest entry that this process wrote
	recent   recent
	meters   meters
	targets  []target // reused for each batch, like entries and results
	entries  []Entry
	results  []result
	records  []Record // the written records of the batch
}

// target maps an item of a batch to an entry of the append. at is -1 if the item was written before, with that number.
type target struct {
	at     int
	repeat bool // it equals an earlier item of the batch
	number uint64
}

// result is the outcome for an entry.
type result struct {
	number uint64
	err    error
}

// write tries once to write the items, and reports the written ones. It returns how many items, from the front, are
// done.
func (j *Journal) write(ctx context.Context, items []Item) (int, error) {
	w := &j.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.release()
	if err := w.prepare(ctx, j, items); err != nil {
		return 0, err
	}
	w.appending.Store(true)
	err := j.append(ctx)
	w.records = make([]Record, 0, len(w.results)) // the tail keeps it
	for i := range w.results {
		if w.results[i].err == nil {
			w.records = append(w.records, Record{w.results[i].number, w.entries[i]})
			w.recent.note(&w.records[len(w.records)-1])
		}
	}
	if len(w.records) > 0 {
		j.tail.add(w.records)
		if j.cfg.Committed != nil {
			j.cfg.Committed(w.records)
		}
	}
	_, next := j.cfg.Log.Bounds()
	w.announced.Store(next)
	w.appending.Store(false)
	j.changed.fire()
	j.dead.note(j.cfg.Log, w.records)
	return j.report(items), err
}

// release frees the memory of the batch.
func (w *writer) release() {
	clear(w.entries)
	clear(w.results)
	w.targets, w.entries, w.records, w.results = w.targets[:0], w.entries[:0], nil, w.results[:0]
}

// prepare selects the entries to append, and sets their times.
func (w *writer) prepare(ctx context.Context, j *Journal, items []Item) error {
	now := time.Now().UTC()
	if now.Before(w.lastTime) {
		now = w.lastTime
	}
	w.lastTime = now
	var again map[string]int // index in entries, by ID, of entries that may be put twice
	for i := range items {
		e := &items[i].Entry
		if e.ID == "" {
			e.ID = newID("ent_")
		}
		if remembered(e) {
			number, known, err := w.recent.find(ctx, j, e.ID)
			if err != nil {
				return err
			}
			at, twice := again[e.ID]
			switch {
			case known:
				w.targets = append(w.targets, target{at: -1, number: number})
				continue
			case twice:
				w.targets = append(w.targets, target{at: at, repeat: true})
				continue
			}
			if again == nil {
				again = make(map[string]int)
			}
			again[e.ID] = len(w.entries)
		}
		if e.Time.IsZero() { // a retry keeps the time of the first attempt
			e.Time = now
		}
		w.targets = append(w.targets, target{at: len(w.entries)})
		w.entries = append(w.entries, *e)
	}
	return nil
}

// append appends the prepared entries. After an error, results covers only the entries before it.
func (j *Journal) append(ctx context.Context) error {
	w := &j.writer
	if len(w.entries) == 0 {
		return nil
	}
	numbers, err := j.cfg.Log.Append(ctx, w.entries)
	if err == nil {
		for _, n := range numbers {
			w.results = append(w.results, result{number: n})
		}
		return nil
	}
	if !errors.Is(err, ErrTooLarge) {
		return err
	}
	for i := range w.entries { // one by one, so that one entry does not block the others
		number, err := j.appendOne(ctx, &w.entries[i])
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return err
		}
		w.results = append(w.results, result{number, err})
	}
	return nil
}

// appendOne appends one entry. If it is too large, it appends a reduced entry.
func (j *Journal) appendOne(ctx context.Context, e *Entry) (uint64, error) {
	for {
		numbers, err := j.cfg.Log.Append(ctx, []Entry{*e})
		if err == nil {
			return numbers[0], nil
		}
		if !errors.Is(err, ErrTooLarge) {
			return 0, err
		}
		small, ok := cutEntry(e)
		if !ok {
			return 0, fmt.Errorf("write an entry of %d bytes: %w", len(e.Data), err)
		}
		j.cfg.Logger.Error().Err(err).Str("account", e.Account).Int("bytes", len(e.Data)).Msg("entry too large for the journal: only a part of it is kept")
		*e = small
	}
}

// report counts the written items and calls Done for each item, in order, up to the first one that is not done.
func (j *Journal) report(items []Item) int {
	w := &j.writer
	now, events, done := time.Now(), uint64(0), 0
	for i := range items {
		item, p := &items[i], w.targets[i]
		if p.at >= len(w.results) {
			break
		}
		done++
		if p.at < 0 {
			item.done(p.number, nil)
			continue
		}
		r := w.results[p.at]
		if e := &w.entries[p.at]; r.err == nil && !p.repeat {
			if e.Kind == Treat {
				events++
			}
			w.meters.written(j.cfg.Metrics, e, now.Sub(item.Received))
			j.reportStage(e, item.Received, now)
		}
		item.done(r.number, r.err)
	}
	if done > 0 {
		j.health.wrote(now, events)
	}
	return done
}

// activity records since when the committer is in its current step. The zero value means idle.
type activity struct{ since atomic.Pointer[time.Time] }

func (a *activity) step() time.Time {
	now := time.Now()
	a.since.Store(&now)
	return now
}

func (a *activity) idle() { a.since.Store(nil) }

// Stuck returns how long [Journal.Run] has been in its current attempt to write, or zero while it is idle. A healthy
// attempt takes at most seconds, even while the disk is full or the server is away.
func (j *Journal) Stuck() time.Duration {
	since := j.activity.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}
