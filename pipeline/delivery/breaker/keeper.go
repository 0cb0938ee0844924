package breaker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/clock"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	// alertProbes is the number of failed probes before the operator is alerted that a sink is down, so that a brief
	// outage raises no alert.
	alertProbes = 3
	// alertEvery is the shortest interval between alerts of dead letters.
	alertEvery = time.Hour
)

// Keeper keeps the state of a sink on disk, follows the operator's changes to it, and reports changes.
type Keeper struct {
	sink    string
	journal *journal.Journal
	breaker *Breaker
	metrics Metrics
	alert   func(pipeline.AlertData) // nil: no alerts
	works   func(since time.Time)    // called when the sink works again
	logger  zerolog.Logger
	dirty   chan struct{} // signals that the state must be saved

	mu        sync.Mutex
	alerted   bool      // the operator was told that the sink is down or disabled
	alertedAt time.Time // time of the last alert of a dead letter
}

// NewKeeper makes the keeper of a sink.
func NewKeeper(j *journal.Journal, sink string, metrics Metrics, logger zerolog.Logger) *Keeper {
	return &Keeper{sink: sink, journal: j, metrics: metrics, logger: logger, dirty: make(chan struct{}, 1)}
}

// Watch connects the keeper to a breaker. Call it before anything is delivered. works is called when the sink works
// again. alert, if not nil, is called with problems of the sink.
func (k *Keeper) Watch(b *Breaker, works func(since time.Time), alert func(pipeline.AlertData)) {
	k.breaker, k.works, k.alert = b, works, alert
	b.events.notify = k.observe
	state, _ := b.State()
	k.metrics.show(state)
	k.alerted = state.Alerted && !b.Open() // otherwise the operator has enabled the sink meanwhile
}

// observe handles a change of the breaker.
func (k *Keeper) observe(e event) {
	k.mu.Lock()
	state, _ := k.breaker.State() // the newest state, since changes may be reported out of order
	k.metrics.show(state)
	alert := false
	switch e.kind {
	case pipeline.AlertDisabled:
		alert, k.alerted = true, true
	case pipeline.AlertRecovered:
		alert, k.alerted = k.alerted, false
	case pipeline.AlertDown, pipeline.AlertDeadLetter:
	default:
		if alert = e.probes >= alertProbes && !k.alerted && !state.DownSince.IsZero(); alert {
			k.alerted, e.kind = true, pipeline.AlertDown
		}
	}
	k.mu.Unlock()
	k.report(e, alert, state)
	k.MarkDirty()
}

func (k *Keeper) report(e event, alert bool, state journal.SinkState) {
	switch {
	case e.kind == pipeline.AlertDown && !alert:
		k.metrics.outages.Inc()
		k.logger.Warn().Str("reason", e.reason).Time("next_probe", clock.OnDisk(state.NotBefore)).Msg("sink is down: its events wait, and it is probed")
	case e.kind == pipeline.AlertDown:
		k.raise(pipeline.AlertDown, e.reason, "its events wait in the journal and go out when it answers again; fix the destination or its configuration")
	case e.kind == pipeline.AlertDisabled:
		k.logger.Error().Str("reason", e.reason).Msgf("sink is disabled: its events wait; relay sinks enable %s sends them", k.sink)
		k.raise(pipeline.AlertDisabled, e.reason, "its events wait in the journal; when the destination is right again: relay sinks enable "+k.sink)
	case e.kind == pipeline.AlertRecovered:
		k.logger.Info().Stringer("after", time.Since(e.since).Round(time.Millisecond)).Int("probes", e.probes).Msg("sink works again")
		k.works(e.since)
		if alert {
			k.raise(pipeline.AlertRecovered, fmt.Sprintf("works again after %v", time.Since(e.since).Round(time.Second)), "")
		}
	}
}

func (k *Keeper) raise(kind pipeline.AlertKind, reason, hint string) {
	if k.alert != nil {
		k.alert(pipeline.AlertData{Sink: k.sink, Kind: kind, Reason: reason, Hint: hint})
	}
}

// GaveUp reports a dead letter, unless one was reported recently.
func (k *Keeper) GaveUp(why error) {
	k.mu.Lock()
	alert := time.Since(k.alertedAt) >= alertEvery
	if alert {
		k.alertedAt = time.Now()
	}
	k.mu.Unlock()
	if alert {
		k.raise(pipeline.AlertDeadLetter, why.Error(), "relay deadletters list --sink "+k.sink+" shows it and those that follow; relay deadletters redrive sends them again")
	}
}

// SaveChanges saves the breaker's state whenever it changes, until all deliveries have ended, and then once more.
func (k *Keeper) SaveChanges(ctx context.Context, ended <-chan struct{}) {
	for over := false; !over; {
		select {
		case <-k.dirty:
		case <-ended:
			over = true
			select {
			case <-k.dirty:
			default:
				return
			}
		}
		if err := k.save(ctx); err != nil && !over {
			k.logger.Debug().Err(err).Msg("state not kept; trying again")
			k.MarkDirty()
			_ = clock.Await(context.WithoutCancel(ctx), ended, nil, time.Second)
		}
	}
}

// MarkDirty records that the breaker's state must be saved.
func (k *Keeper) MarkDirty() {
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

func (k *Keeper) save(ctx context.Context) error {
	k.mu.Lock()
	alerted := k.alerted
	k.mu.Unlock()
	now, gone := k.breaker.unsaved()
	var revision uint64
	err := clock.WriteWithTimeout(ctx, func(ctx context.Context) (err error) {
		revision, err = k.journal.UpdateSink(ctx, k.sink, func(s *journal.SinkState) {
			s.DownSince, s.NotBefore, s.NotedAt = now.DownSince, clock.OnDisk(now.NotBefore), clock.OnDisk(now.NotedAt)
			s.Refusing, s.Alerted = now.Refusing, alerted
			if gone {
				s.DisabledSince = now.DisabledSince
			}
			if s.DisabledSince.IsZero() || gone {
				s.Reason = now.Reason
			}
		})
		return err
	})
	if err == nil {
		k.breaker.saved(revision, gone)
	}
	return err
}

// Follow applies the operator's changes to the sink's state on disk. pause waits before a retry, and reports false to
// stop.
func (k *Keeper) Follow(ctx context.Context, pause func(context.Context) bool) {
	for {
		err := k.journal.WatchSink(ctx, k.sink, k.breaker.applyOperator)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			k.logger.Debug().Err(err).Msg("state of the sink is not followed; trying again")
		}
		if !pause(ctx) {
			return
		}
	}
}

// Metrics are the metrics of a sink's state.
type Metrics struct {
	outages        prometheus.Counter
	down, disabled prometheus.Gauge
}

// NewMetrics returns the metrics of a sink.
func NewMetrics(m *pipeline.Metrics, sink string) Metrics {
	return Metrics{outages: m.Outages.WithLabelValues(sink), down: m.Down.WithLabelValues(sink), disabled: m.Disabled.WithLabelValues(sink)}
}

// show sets the metrics to a state.
func (m Metrics) show(s journal.SinkState) {
	number := func(since time.Time) float64 {
		if since.IsZero() {
			return 0
		}
		return 1
	}
	m.down.Set(number(s.DownSince))
	m.disabled.Set(number(s.DisabledSince))
}
