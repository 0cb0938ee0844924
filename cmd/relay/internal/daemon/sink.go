package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/sinks"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/webhook"
)

// A sinkFactory creates sinks and their lanes.
type sinkFactory struct {
	log       zerolog.Logger
	out       io.Writer // where sinks of type stdout write
	alertSink string    // empty: alerts are off
	bearer    func(account string) (webhook.Bearer, error)

	server   *natsserver.Server // for overlays; nil if no sink needs it
	lanes    *delivery.Dispatcher
	attempts *attempts.Log   // records the delivery attempts of all sinks
	alerts   *journal.Alerts // nil if alerts are off
}

// open creates a sink that is ready to deliver. It has no lane yet, see openLane.
func (f *sinkFactory) open(ctx context.Context, s config.Sink) (*sinkRunner, error) {
	if n, ok := s.Config.(*natssink.Config); ok && n.URL.Empty() && f.server == nil {
		return nil, exit.With(exit.Unavailable, &advice.Error{
			Err: fmt.Errorf("open sink %s: it publishes to relay's own NATS server, which listens only if a sink wants it when relay starts", s.Name),
			Fix: advice.Do("restart relay"),
		})
	}
	files := config.FilesHash(s.Config)
	sink, err := sinks.Open(ctx, s.Config, sinks.Env{
		Name: s.Name, Stdout: f.out, UserAgent: version.UserAgent(), Log: f.log.With().Str("sink", s.Name).Logger(),
		NATS:      func(ctx context.Context) (*nats.Conn, error) { return f.server.Connect(ctx) },
		NATSStore: f.natsStore(), Bearer: f.bearer, Revive: func() error { return f.server.Revive() },
		Attempt: func(a pipeline.Attempt) {
			a.Sink = s.Name
			f.attempts.Add(a)
		},
	})
	if err != nil {
		code := exit.Unavailable
		if _, ok := errors.AsType[*sinks.FieldError](err); ok { // in a file that a key names
			code = exit.Config
		}
		return nil, exit.With(code, fmt.Errorf("open sink %s: %w", s.Name, err))
	}
	return &sinkRunner{cfg: s, sink: sink, files: files, ended: make(chan struct{})}, nil
}

// natsStore returns what the embedded server reports about its disk; nil without a server.
func (f *sinkFactory) natsStore() natssink.Store {
	if f.server == nil {
		return nil
	}
	return f.server
}

// openLane opens the lane of a sink. An earlier lane of that name must have ended.
func (f *sinkFactory) openLane(ctx context.Context, r *sinkRunner) error {
	lc := r.cfg.Lane
	lc.Sink, lc.Log = r.cfg.Name, f.log
	if f.alerts != nil && r.cfg.Name != f.alertSink {
		lc.Alert = f.alerts.Raise
	}
	lane, err := f.lanes.Open(ctx, r.sink, lc)
	r.set(lane, err)
	return exit.With(exit.Unavailable, err)
}

// A sinkRunner runs the lane of one sink. It can start and stop while others run. The lane closes the sink.
type sinkRunner struct {
	cfg      config.Sink
	sink     pipeline.Sink
	files    string // a hash of the content of the files that cfg names
	cancel   context.CancelCauseFunc
	stopping atomic.Bool
	ended    chan struct{}

	mu      sync.Mutex
	lane    *delivery.Lane // nil until it could be opened
	laneErr error          // why it could not be opened so far
}

// state returns the lane, or nil and why there is none yet.
func (r *sinkRunner) state() (*delivery.Lane, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lane, r.laneErr
}

func (r *sinkRunner) set(lane *delivery.Lane, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lane, r.laneErr = lane, err
}

// start runs the sink's lane until ctx ends or the sink is stopped. A lane that is not open is opened first, with retries. If the lane ends by
// itself, start calls failed.
func (r *sinkRunner) start(ctx context.Context, work *sync.WaitGroup, f *sinkFactory, failed context.CancelCauseFunc) {
	ctx, r.cancel = context.WithCancelCause(ctx)
	work.Go(func() {
		defer close(r.ended)
		lane := r.awaitLane(ctx, f)
		if lane == nil {
			if err := r.sink.Close(); err != nil {
				f.log.Warn().Err(err).Str("sink", r.cfg.Name).Msg("sink that did not run yet is not closed")
			}
			return
		}
		err := lane.Run(ctx)
		switch {
		case err == nil, r.stopping.Load() && errors.Is(err, pipeline.ErrSinkClosed):
			return
		case !errors.Is(err, pipeline.ErrSinkClosed):
			f.log.Error().Err(err).Msg("lane ended")
		}
		if !r.stopping.Load() {
			failed(err)
		}
	})
}

// awaitLane returns the lane once it is open, or nil if ctx ends first.
func (r *sinkRunner) awaitLane(ctx context.Context, f *sinkFactory) *delivery.Lane {
	for logged := ""; ; {
		lane, _ := r.state()
		if lane == nil {
			if err := f.openLane(ctx, r); err != nil && ctx.Err() == nil && err.Error() != logged {
				logged = err.Error()
				f.log.Error().Err(err).Str("sink", r.cfg.Name).Msg("sink does not run yet: its events wait in the journal, and it is tried again")
			}
			lane, _ = r.state()
		}
		if lane != nil {
			if r.stopping.Load() {
				lane.Drain()
			}
			return lane
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// drain ends the lane once all that is journaled now is delivered. It does not wait.
func (r *sinkRunner) drain() {
	r.stopping.Store(true)
	if lane, _ := r.state(); lane != nil {
		lane.Drain()
	} else {
		r.cancel(errRemoved)
	}
}

// stop drains the lane and waits for its end. After [DrainTime] it waits only for the deliveries under way: other events stay in the journal.
// Deliveries under way are never canceled, for the destination would get those events again.
func (r *sinkRunner) stop() {
	r.drain()
	limit := time.AfterFunc(DrainTime, func() {
		if lane, _ := r.state(); lane != nil {
			lane.Stop()
		}
	})
	defer limit.Stop()
	<-r.ended
}
