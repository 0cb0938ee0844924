package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// care is what a lane knows of its sink's troubles beside the gate: what is to be kept on disk, and who was told what.
type care struct {
	dirty chan struct{} // the gate's state is to be kept

	mu      sync.Mutex
	alerted bool      // the operator knows that the sink is down or disabled
	buried  time.Time // when the operator was last told of a dead letter
}

const (
	// alertProbes is how many probes fail before the operator is told that a sink is down: a moment's outage is none of
	// his business.
	alertProbes = 3
	// alertEvery is how long further dead letters go without an alert.
	alertEvery = time.Hour
)

// heed is told by the gate what has changed.
func (l *Lane) heed(e gateEvent) {
	l.care.mu.Lock()
	state, _ := l.gate.now() // the newest, for changes may be told in another order than they came
	l.showState(state)
	tell := false
	switch e.kind {
	case AlertDisabled:
		tell, l.care.alerted = true, true
	case AlertRecovered:
		tell, l.care.alerted = l.care.alerted, false
	case AlertDown, AlertDeadLetter:
	default:
		if tell = e.probes >= alertProbes && !l.care.alerted && !state.DownSince.IsZero(); tell {
			l.care.alerted, e.kind = true, AlertDown
		}
	}
	l.care.mu.Unlock()
	name := l.cfg.Sink
	switch {
	case e.kind == AlertDown && !tell:
		l.journal.metrics.Outages.WithLabelValues(name).Inc()
		l.log.Warn().Str("reason", e.reason).Time("next_probe", onDisk(state.NotBefore)).Msg("sink is down: its events wait, and it is probed")
	case e.kind == AlertDown:
		l.alert(AlertDown, e.reason, "its events wait in the journal and go out when it answers again; mend the destination or its configuration")
	case e.kind == AlertDisabled:
		l.log.Error().Str("reason", e.reason).Msgf("sink is disabled: its events wait; relay sinks enable %s sends them", name)
		l.alert(AlertDisabled, e.reason, "its events wait in the journal; when the destination is right again: relay sinks enable "+name)
	case e.kind == AlertRecovered:
		l.log.Info().Stringer("after", time.Since(e.since).Round(time.Millisecond)).Int("probes", e.probes).Msg("sink works again")
		l.makeDue(e.since)
		if tell {
			l.alert(AlertRecovered, fmt.Sprintf("works again after %v", time.Since(e.since).Round(time.Second)), "")
		}
	}
	l.soil()
}

func (l *Lane) alert(kind AlertKind, reason, hint string) {
	if l.cfg.Alert != nil {
		l.cfg.Alert(AlertData{Sink: l.cfg.Sink, Kind: kind, Reason: reason, Hint: hint})
	}
}

// buried tells of a dead letter, if nobody was told of one lately.
func (l *Lane) buried(why error) {
	l.care.mu.Lock()
	tell := time.Since(l.care.buried) >= alertEvery
	if tell {
		l.care.buried = time.Now()
	}
	l.care.mu.Unlock()
	if tell {
		l.alert(AlertDeadLetter, why.Error(), "relay deadletters list --sink "+l.cfg.Sink+" shows it and those that follow; relay deadletters redrive sends them again")
	}
}

// showState sets the metrics of a state.
func (l *Lane) showState(s SinkState) {
	number := func(since time.Time) float64 {
		if since.IsZero() {
			return 0
		}
		return 1
	}
	l.journal.metrics.Down.WithLabelValues(l.cfg.Sink).Set(number(s.DownSince))
	l.journal.metrics.Disabled.WithLabelValues(l.cfg.Sink).Set(number(s.DisabledSince))
}

// keep writes the gate's state to disk whenever it changes, until all deliveries have ended, and then a last time.
func (l *Lane) keep(ctx context.Context, settled <-chan struct{}) {
	for over := false; !over; {
		select {
		case <-l.care.dirty:
		case <-settled:
			over = true
			select {
			case <-l.care.dirty:
			default:
				return
			}
		}
		if err := l.keepState(ctx); err != nil && !over {
			l.log.Debug().Err(err).Msg("state not kept; trying again")
			l.soil()
			_ = await(context.WithoutCancel(ctx), settled, nil, time.Second)
		}
	}
}

// soil says that the gate's state is to be kept.
func (l *Lane) soil() {
	select {
	case l.care.dirty <- struct{}{}:
	default:
	}
}

func (l *Lane) keepState(ctx context.Context) error {
	l.care.mu.Lock()
	alerted := l.care.alerted
	l.care.mu.Unlock()
	now, gone := l.gate.unsaved()
	var revision uint64
	err := l.atOnce(ctx, func(ctx context.Context) (err error) {
		revision, err = l.journal.updateSink(ctx, l.cfg.Sink, func(s *SinkState) {
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
		l.gate.saved(revision, gone)
	}
	return err
}

// follow does as the operator says, who enables and disables sinks by their state on disk.
func (l *Lane) follow(ctx context.Context) {
	for {
		err := l.journal.followSink(ctx, l.cfg.Sink, l.gate.obey)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.log.Debug().Err(err).Msg("state of the sink is not followed; trying again")
		}
		if !l.pause(ctx) {
			return
		}
	}
}
