package pipeline

import (
	"container/heap"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats.go/jetstream"
)

// RetryPolicy says how a lane tries an event again that the sink did not accept, though the destination answered: after
// growing delays, each varied by a fifth either way. The attempts and their times are kept on disk.
type RetryPolicy struct {
	Initial time.Duration // the first delay; each further one is twice as long
	Max     time.Duration // the longest
	// GiveUp is how long after the first attempt an event that keeps failing becomes a dead letter, unless it was tried
	// less than five times.
	GiveUp time.Duration
}

const (
	// minAttempts are made before an event is given up, however long they take.
	minAttempts = 5
	// stepAside is after how many attempts later events may pass one that fails.
	stepAside = 5
)

// WithDefaults fills in what is zero: 5 s, 10 h and 72 h, which makes 20 attempts.
func (p RetryPolicy) WithDefaults() RetryPolicy {
	if p.Initial == 0 {
		p.Initial = 5 * time.Second
	}
	if p.Max == 0 {
		p.Max = 10 * time.Hour
	}
	if p.GiveUp == 0 {
		p.GiveUp = 72 * time.Hour
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// delay is how long to wait after that many failed attempts.
func (p RetryPolicy) delay(attempts int) time.Duration {
	p = p.WithDefaults()
	b := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(p.Initial), backoff.WithMaxInterval(p.Max), backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
	delay := b.NextBackOff()
	for range min(attempts, 100) - 1 {
		delay = b.NextBackOff()
	}
	return delay
}

// failed notes one more attempt that began at that time, and when the next one is.
func (r *retry) failed(began, now time.Time, p RetryPolicy, err error) {
	if r.First.IsZero() {
		r.First = began
	}
	r.Attempts++
	after, _ := RetryDelay(err)
	r.Last, r.Next, r.Floor = now, now.Add(max(p.delay(r.Attempts), after)), now.Add(after)
}

// over reports whether the event is to be given up.
func (r *retry) over(p RetryPolicy, now time.Time) bool {
	return r.Attempts >= minAttempts && now.Sub(r.First) > p.WithDefaults().GiveUp
}

// byTime is a heap of retries, the next one first.
type byTime []*retry

func (h byTime) Len() int { return len(h) }
func (h byTime) Less(i, j int) bool {
	return h[i].Next.Before(h[j].Next) || h[i].Next.Equal(h[j].Next) && h[i].Seq < h[j].Seq
}
func (h byTime) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byTime) Push(x any)   { *h = append(*h, x.(*retry)) } //nolint:forcetypeassert // only these go in
func (h *byTime) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// recall reads the retries that an earlier run has left. Those below the cursor that never stepped aside are settled, and were
// only not forgotten in time.
func (l *Lane) recall(ctx context.Context) error {
	all, err := l.journal.retries(ctx, l.cfg.Sink)
	if err != nil {
		return err
	}
	floor := l.cons.CachedInfo().AckFloor.Stream
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range all {
		if r.wake(time.Now()) {
			if err := l.journal.putRetry(ctx, l.cfg.Sink, r); err != nil {
				return err
			}
		}
		switch {
		case r.Aside:
			l.aside[r.Seq] = &r
			heap.Push(&l.schedule, &r)
		case r.Seq > floor:
			l.trouble[r.Seq] = &r
		default:
			if err := l.journal.dropRetry(ctx, l.cfg.Sink, r.Seq); err != nil {
				l.log.Debug().Err(err).Msg("retry not forgotten") // until the next start
			}
		}
	}
	l.countRetries()
	return nil
}

// countRetries sets the metric. l.mu is held.
func (l *Lane) countRetries() {
	l.journal.metrics.Retries.WithLabelValues(l.cfg.Sink).Set(float64(len(l.aside)))
}

// forget drops a retry whose event is settled, and tries until it succeeds: after a restart the event would be delivered again.
// It gives up when ctx ends or draining starts, but not before it has tried.
func (l *Lane) forget(ctx context.Context, seq uint64) {
	for {
		err := l.atOnce(ctx, func(ctx context.Context) error { return l.journal.dropRetry(ctx, l.cfg.Sink, seq) })
		if err == nil {
			return
		}
		l.log.Debug().Err(err).Msg("retry not forgotten yet")
		if !l.pause(ctx) {
			l.log.Warn().Err(err).Uint64("seq", seq).Msg("an event that is settled may be delivered again at the next start")
			return
		}
	}
}

// atOnce writes a note of what has happened already: also after ctx has ended, but for no longer than 2 s.
func (l *Lane) atOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errNoteLate)
	defer cancel()
	return causeOf(ctx, write(ctx))
}

var errNoteLate = errors.New("no answer from the journal's server within 2 s")

// setAside puts an event on the schedule, where others may pass it.
func (l *Lane) setAside(r *retry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aside[r.Seq] = r
	heap.Push(&l.schedule, r)
	l.countRetries()
	select {
	case l.scheduled <- struct{}{}:
	default:
	}
}

// makeDue brings the retries forward that failed since then, when the destination turns out to have failed as a whole, but not
// before the time that it asked for.
func (l *Lane) makeDue(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, r := range l.schedule {
		if !r.Last.Before(since) && r.Next.After(now) {
			r.Next = later(now, r.Floor)
		}
	}
	heap.Init(&l.schedule)
	select {
	case l.scheduled <- struct{}{}:
	default:
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// runSchedule gives the events that stepped aside back to their accounts' workers when it is their time.
func (l *Lane) runSchedule(ctx context.Context, w *worker) {
	for {
		l.mu.Lock()
		var next *retry
		wait := time.Hour
		if len(l.schedule) > 0 {
			next = l.schedule[0]
			wait = time.Until(next.Next)
		}
		if wait <= 0 {
			heap.Pop(&l.schedule)
		}
		l.mu.Unlock()
		if wait <= 0 {
			l.bringBack(ctx, w, next)
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.scheduled:
		case <-l.drain:
			t.Stop()
			return
		case <-ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// bringBack reads an event that stepped aside from the journal and hands it to its account's worker.
func (l *Lane) bringBack(ctx context.Context, w *worker, r *retry) {
	msg, err := l.journal.get(ctx, r.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		l.log.Error().Str("id", r.ID).Int("attempts", r.Attempts).Msg("event is lost to this sink: the journal dropped it by age before it was accepted; raise journal.retention")
		l.mu.Lock()
		delete(l.aside, r.Seq)
		l.countRetries()
		l.mu.Unlock()
		l.forget(ctx, r.Seq)
		return
	}
	if err != nil {
		l.log.Debug().Err(err).Str("id", r.ID).Msg("event cannot be read for its retry yet")
		r.Next = time.Now().Add(time.Second)
		l.mu.Lock()
		heap.Push(&l.schedule, r)
		l.mu.Unlock()
		return
	}
	d := &delivery{record: l.recordOf(msg.Sequence, msg.Time, msg.Subject, msg.Header, msg.Data), at: msg.Time, trouble: r}
	l.mu.Lock()
	defer l.mu.Unlock()
	account := d.record.Account
	if l.left[account] {
		return // it stays for the next start
	}
	id := l.idle(account)
	l.due[id] = append(l.due[id], d)
	l.employ(ctx, w, id)
}
