package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// RetryPolicy says how a lane tries again what a sink did not accept: after growing delays, each varied by a fifth either
// way.
type RetryPolicy struct {
	Initial time.Duration // the first delay
	Max     time.Duration // the longest
	// GiveUp is how long after being journaled an event that keeps failing becomes a dead letter. It holds across
	// restarts. An event is tried several times in any case.
	GiveUp time.Duration
}

// minAttempts are made before an event is given up, however old it is.
const minAttempts = 5

// WithDefaults fills in what is zero: 1 s, 10 min and 72 h.
func (p RetryPolicy) WithDefaults() RetryPolicy {
	if p.Initial == 0 {
		p.Initial = time.Second
	}
	if p.Max == 0 {
		p.Max = 10 * time.Minute
	}
	if p.GiveUp == 0 {
		p.GiveUp = 72 * time.Hour
	}
	p.Max = max(p.Max, p.Initial)
	return p
}

// newRetrier returns a function that makes the delays of one event.
func newRetrier(p RetryPolicy) func() *backoff.ExponentialBackOff {
	p = p.WithDefaults()
	return func() *backoff.ExponentialBackOff {
		return backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(p.Initial), backoff.WithMaxInterval(p.Max), backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))
	}
}

// A worker delivers the events of one account at a time and in order.
type worker struct {
	lane  *Lane
	retry func() *backoff.ExponentialBackOff
	fail  context.CancelCauseFunc // ends the lane
}

// run delivers the account's queue until it is empty, until ctx ends, or until an event has to wait while draining.
func (w *worker) run(ctx context.Context, account string) {
	l := w.lane
	log := l.log.With().Str("account", account).Logger()
	metrics, name := l.journal.metrics, l.cfg.Sink
	var wait *backoff.ExponentialBackOff // of the queue's first event; nil while it has not failed
	var attempts int
	var said string
	for {
		queue := l.waiting(account)
		if queue == nil {
			return
		}
		records := make([]Record, len(queue))
		for i, d := range queue {
			records[i] = d.record
		}
		n, err := l.sink.Deliver(ctx, records)
		if n > 0 {
			now := time.Now()
			for _, d := range queue[:n] {
				metrics.Latency.WithLabelValues(name).Observe(now.Sub(d.at).Seconds())
			}
			metrics.Delivered.WithLabelValues(name).Add(float64(n))
			l.settle(account, n)
			if said != "" {
				log.Info().Int("attempts", attempts+1).Msg("sink accepts again")
			}
			wait, attempts, said = nil, 0, ""
			continue
		}
		if err == nil {
			err = errNothingAccepted
		}
		head := queue[0]
		switch {
		case errors.Is(err, ErrSinkClosed):
			w.fail(ErrSinkClosed)
			l.abandon(account)
			return
		case ctx.Err() != nil:
			l.abandon(account)
			return
		}
		attempts++
		metrics.Failures.WithLabelValues(name).Inc()
		tooOld := attempts >= minAttempts && time.Since(head.at) > l.cfg.Retry.WithDefaults().GiveUp
		if IsPermanent(err) || tooOld {
			if dlErr := l.journal.deadLetter(ctx, name, err.Error(), attempts, head.record); dlErr == nil {
				metrics.DeadLetters.WithLabelValues(name).Inc()
				log.Error().Err(err).Str("id", head.record.ID).Int("attempts", attempts).Msg("event given up: it is kept in the journal as a dead letter")
				l.settle(account, 1)
				wait, attempts, said = nil, 0, ""
				continue
			}
			// Without its dead letter on disk the event is not given up: try both again.
		}
		if wait == nil {
			wait = w.retry()
		}
		delay := wait.NextBackOff()
		if asked, ok := RetryDelay(err); ok {
			delay = max(delay, asked)
		}
		if text := err.Error(); text != said {
			said = text
			log.Warn().Err(err).Str("id", head.record.ID).Dur("retry_in", delay).Msg("sink did not accept an event; it is tried again")
		}
		if !l.sleep(ctx, delay) {
			l.abandon(account)
			return
		}
	}
}

var errNothingAccepted = errors.New("the sink accepted nothing and did not say why")
