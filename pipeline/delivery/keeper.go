package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

const (
	// alertProbes is how many probes fail before the operator is alerted that a sink is down: a moment's outage is none of
	// his business.
	alertProbes = 3
	// alertEvery is how long further dead letters go without an alert.
	alertEvery = time.Hour
)

// keeper keeps the state of a sink on disk, follows what the operator writes there, and reports what changes.
type keeper struct {
	sink    string
	journal *journal.Journal
	breaker *breaker
	metrics *laneMetrics
	alert   func(pipeline.AlertData) // nil: nobody is alerted
	works   func(since time.Time)    // called when the sink works again
	stop    *stopper
	logger  zerolog.Logger
	dirty   chan struct{} // holds a token when the state is to be kept

	mu        sync.Mutex
	alerted   bool      // the operator knows that the sink is down or disabled
	alertedAt time.Time // when the operator was last alerted of a dead letter
}

// observe is notified by the breaker of what has changed.
func (k *keeper) observe(e breakerEvent) {
	k.mu.Lock()
	state, _ := k.breaker.now() // the newest, for changes may be reported in another order than they came
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
	k.markDirty()
}

func (k *keeper) report(e breakerEvent, alert bool, state journal.SinkState) {
	switch {
	case e.kind == pipeline.AlertDown && !alert:
		k.metrics.outages.Inc()
		k.logger.Warn().Str("reason", e.reason).Time("next_probe", onDisk(state.NotBefore)).Msg("sink is down: its events wait, and it is probed")
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

func (k *keeper) raise(kind pipeline.AlertKind, reason, hint string) {
	if k.alert != nil {
		k.alert(pipeline.AlertData{Sink: k.sink, Kind: kind, Reason: reason, Hint: hint})
	}
}

// gaveUp reports a dead letter, if none was reported lately.
func (k *keeper) gaveUp(why error) {
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

// keep writes the breaker's state to disk whenever it changes, until all deliveries have ended, and then a last time.
func (k *keeper) keep(ctx context.Context, ended <-chan struct{}) {
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
			k.markDirty()
			_ = await(context.WithoutCancel(ctx), ended, nil, time.Second)
		}
	}
}

// markDirty says that the breaker's state is to be kept.
func (k *keeper) markDirty() {
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

func (k *keeper) save(ctx context.Context) error {
	k.mu.Lock()
	alerted := k.alerted
	k.mu.Unlock()
	now, gone := k.breaker.unsaved()
	var revision uint64
	err := atOnce(ctx, func(ctx context.Context) (err error) {
		revision, err = k.journal.UpdateSink(ctx, k.sink, func(s *journal.SinkState) {
			s.DownSince, s.NotBefore, s.NotedAt = now.DownSince, onDisk(now.NotBefore), onDisk(now.NotedAt)
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

// follow does as the operator says, who enables and disables sinks by their state on disk.
func (k *keeper) follow(ctx context.Context) {
	for {
		err := k.journal.WatchSink(ctx, k.sink, k.breaker.obey)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			k.logger.Debug().Err(err).Msg("state of the sink is not followed; trying again")
		}
		if !k.stop.pause(ctx) {
			return
		}
	}
}

// atOnce records what has happened already: also after ctx has ended, but for no longer than 2 s.
func atOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errRecordLate)
	defer cancel()
	err := write(ctx)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		return cause
	}
	return err
}

var errRecordLate = errors.New("no answer from the journal within 2 s")
