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
	// alertProbes is how many probes fail before the operator is alerted that a sink is down: a moment's outage is none of
	// his business.
	alertProbes = 3
	// alertEvery is how long further dead letters go without an alert.
	alertEvery = time.Hour
)

// Keeper keeps the state of a sink on disk, follows what the operator writes there, and reports what changes.
type Keeper struct {
	sink    string
	journal *journal.Journal
	breaker *Breaker
	metrics Metrics
	alert   func(pipeline.AlertData) // nil: nobody is alerted
	works   func(since time.Time)    // called when the sink works again
	logger  zerolog.Logger
	dirty   chan struct{} // holds a token when the state is to be kept

	mu        sync.Mutex
	alerted   bool      // the operator knows that the sink is down or disabled
	alertedAt time.Time // when the operator was last alerted of a dead letter
}

// NewKeeper makes the keeper of a sink.
func NewKeeper(j *journal.Journal, sink string, metrics Metrics, logger zerolog.Logger) *Keeper {
	return &Keeper{sink: sink, journal: j, metrics: metrics, logger: logger, dirty: make(chan struct{}, 1)}
}

// Watch makes the keeper the one whom a breaker notifies, before anything is delivered. works is called when the sink works again, and alert,
// if it is not nil, with what is wrong with it.
func (k *Keeper) Watch(b *Breaker, works func(since time.Time), alert func(pipeline.AlertData)) {
	k.breaker, k.works, k.alert = b, works, alert
	b.news.notify = k.observe
	state, _ := b.Now()
	k.metrics.show(state)
	k.alerted = state.Alerted && !b.Open() // else the operator has enabled it meanwhile
}

// observe is notified by the breaker of what has changed.
func (k *Keeper) observe(e event) {
	k.mu.Lock()
	state, _ := k.breaker.Now() // the newest, for changes may be reported in another order than they came
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

// GaveUp reports a dead letter, if none was reported lately.
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

// Keep writes the breaker's state to disk whenever it changes, until all deliveries have ended, and then a last time.
func (k *Keeper) Keep(ctx context.Context, ended <-chan struct{}) {
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

// MarkDirty says that the breaker's state is to be kept.
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
	err := clock.AtOnce(ctx, func(ctx context.Context) (err error) {
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

// Follow does as the operator says, who enables and disables sinks by their state on disk. pause waits before another try, and reports false when there is to be none.
func (k *Keeper) Follow(ctx context.Context, pause func(context.Context) bool) {
	for {
		err := k.journal.WatchSink(ctx, k.sink, k.breaker.obey)
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

// Metrics show whether a sink works.
type Metrics struct {
	outages        prometheus.Counter
	down, disabled prometheus.Gauge
}

// NewMetrics makes those of a sink.
func NewMetrics(m *pipeline.Metrics, sink string) Metrics {
	return Metrics{outages: m.Outages.WithLabelValues(sink), down: m.Down.WithLabelValues(sink), disabled: m.Disabled.WithLabelValues(sink)}
}

// show sets the metrics of a state.
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
