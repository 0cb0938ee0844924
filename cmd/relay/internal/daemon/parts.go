package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
	"github.com/treatrelay/relay/sinks"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/webhook"
	"github.com/treatrelay/relay/socket"
)

// An accountPart is an account of a job. It can be started and ended while the others run on.
type accountPart struct {
	cfg     config.Account
	account *auth.Account
	source  *source // nil if it receives no treats
	end     context.CancelCauseFunc
	work    sync.WaitGroup
}

// A sinkPart is a sink of a job, likewise. The sink is its lane's to close.
type sinkPart struct {
	cfg     config.Sink
	sink    pipeline.Sink
	files   string // a hash of what the files held that it names
	kill    context.CancelCauseFunc
	leaving atomic.Bool // it was told to end
	ended   chan struct{}

	mu      sync.Mutex
	lane    *delivery.Lane // nil until it could be opened
	trouble error          // why it could not be so far
}

// state returns the lane, or nil and why there is none yet.
func (p *sinkPart) state() (*delivery.Lane, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lane, p.trouble
}

func (p *sinkPart) set(lane *delivery.Lane, trouble error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lane, p.trouble = lane, trouble
}

// live are the parts that run, by name. They change when the configuration is loaded again.
type live struct {
	cfg      *config.Config
	accounts map[string]*accountPart
	sinks    map[string]*sinkPart
}

// parts are the job's at this moment. The maps are not to be changed.
func (j *job) parts() live {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.live
}

func (j *job) setParts(l live) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.live = l
}

// sources are those of the accounts that receive treats, by name.
func (l live) sources() (all []*source) {
	for _, name := range slices.Sorted(maps.Keys(l.accounts)) {
		if s := l.accounts[name].source; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// An accountMaker makes the accounts, and what they receive with.
type accountMaker struct {
	log    zerolog.Logger
	keeper *journalKeeper
	socket config.Socket

	store         *store.Files
	providers     *wire.Transport // what all accounts send to the providers goes through it
	authMetrics   *auth.Metrics
	sourceMetrics *sourceMetrics
	socketHolds   socket.RetryDelays // of all accounts
}

// A sinkMaker makes the sinks and their lanes.
type sinkMaker struct {
	log       zerolog.Logger
	out       io.Writer // of sinks that print
	alertSink string    // empty: nobody wants to be told
	bearer    func(account string) (webhook.Bearer, error)

	server   *natsserver.Server // for overlays; nil if no sink needs it
	lanes    *delivery.Dispatcher
	attempts *attempts.Log   // what the sinks do
	alerts   *journal.Alerts // nil if nobody wants to be told
}

// openAccount makes an account and starts nothing. One that is not logged in waits.
func (r *accountMaker) openAccount(c config.Account) (*accountPart, error) {
	account, err := grants.NewAccount(c, r.store, r.providers, r.authMetrics, r.log)
	if err != nil {
		return nil, err
	}
	part := &accountPart{cfg: c, account: account}
	if c.Receives() {
		part.source, err = r.newSource(c, account)
	}
	return part, err
}

// openSink makes a sink ready to deliver.
func (d *sinkMaker) openSink(ctx context.Context, s config.Sink) (*sinkPart, error) {
	if n, ok := s.Config.(*natssink.Config); ok && n.URL.Empty() && d.server == nil {
		return nil, exit.With(exit.Unavailable, fmt.Errorf("open sink %s: it publishes to relay's own NATS server, which listens only if a sink wants it when relay starts: restart relay", s.Name))
	}
	files := config.FilesSum(s.Config)
	sink, err := sinks.Open(ctx, s.Config, sinks.Env{
		Name: s.Name, Stdout: d.out, UserAgent: version.UserAgent(), Log: d.log.With().Str("sink", s.Name).Logger(),
		NATS:      func(ctx context.Context) (*nats.Conn, error) { return d.server.Connect(ctx) },
		NATSStore: d.natsStore(), Bearer: d.bearer, Revive: func() error { return d.server.Revive() },
		Attempt: func(a pipeline.Attempt) {
			a.Sink = s.Name
			d.attempts.Add(a)
		},
	})
	if err != nil {
		code := exit.Unavailable
		if _, ok := errors.AsType[*sinks.FieldError](err); ok { // in a file that a key names
			code = exit.Config
		}
		return nil, exit.With(code, fmt.Errorf("open sink %s: %w", s.Name, err))
	}
	return &sinkPart{cfg: s, sink: sink, files: files, ended: make(chan struct{})}, nil
}

// natsStore is what the embedded server knows of its disk, nil if there is none.
func (d *sinkMaker) natsStore() natssink.Store {
	if d.server == nil {
		return nil
	}
	return d.server
}

// openLane opens the lane of a sink that is ready. An earlier lane of that name must have ended.
func (d *sinkMaker) openLane(ctx context.Context, part *sinkPart) error {
	lc := part.cfg.Lane
	lc.Sink, lc.Log = part.cfg.Name, d.log
	if d.alerts != nil && part.cfg.Name != d.alertSink {
		lc.Alert = d.alerts.Raise
	}
	lane, err := d.lanes.Open(ctx, part.sink, lc)
	part.set(lane, err)
	return exit.With(exit.Unavailable, err)
}

// start runs the account until ctx or its end; stop is called if its source cannot go on.
func (p *accountPart) start(ctx context.Context, stop context.CancelCauseFunc) {
	ctx, p.end = context.WithCancelCause(ctx)
	p.work.Go(func() { p.account.Run(ctx) })
	if p.source == nil {
		return
	}
	p.work.Go(func() {
		p.source.begin(ctx)
		if p.source.history != nil {
			p.work.Go(func() { p.source.history.Run(ctx) })
		}
		if err := p.source.run(ctx); err != nil {
			stop(err)
		}
	})
}

var errTakenOut = errors.New("the configuration has it no more, or otherwise")

// leave ends the account, and returns when all that it has received is on disk.
func (p *accountPart) leave(ctx context.Context) error {
	p.end(errTakenOut)
	p.work.Wait()
	if p.source == nil {
		return nil
	}
	return p.source.intake.Flush(ctx)
}

// start runs the sink's lane until ctx or its end, and opens it before, as often as that takes, if it is not open; stop is called if it
// ends by itself.
func (p *sinkPart) start(ctx context.Context, work *sync.WaitGroup, d *sinkMaker, stop context.CancelCauseFunc) {
	ctx, p.kill = context.WithCancelCause(ctx)
	work.Go(func() {
		defer close(p.ended)
		lane := p.await(ctx, d)
		if lane == nil {
			if err := p.sink.Close(); err != nil {
				d.log.Warn().Err(err).Str("sink", p.cfg.Name).Msg("sink that did not run yet is not closed")
			}
			return
		}
		err := lane.Run(ctx)
		switch {
		case err == nil, p.leaving.Load() && errors.Is(err, pipeline.ErrSinkClosed):
			return
		case !errors.Is(err, pipeline.ErrSinkClosed):
			d.log.Error().Err(err).Msg("lane ended")
		}
		if !p.leaving.Load() {
			stop(err)
		}
	})
}

// await returns the lane when it is open, or nil if ctx ends or the sink is to end before.
func (p *sinkPart) await(ctx context.Context, d *sinkMaker) *delivery.Lane {
	for said := ""; ; {
		lane, _ := p.state()
		if lane == nil {
			if err := d.openLane(ctx, p); err != nil && ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				d.log.Error().Err(err).Str("sink", p.cfg.Name).Msg("sink does not run yet: its events wait in the journal, and it is tried again")
			}
			lane, _ = p.state()
		}
		if lane != nil {
			if p.leaving.Load() {
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

// drain ends the lane when what is journaled by now is delivered.
func (p *sinkPart) drain() {
	p.leaving.Store(true)
	if lane, _ := p.state(); lane != nil {
		lane.Drain()
	} else {
		p.kill(errTakenOut)
	}
}

// leave ends the lane when what is journaled by now is delivered or, if that takes long, when the deliveries under way have ended: the rest
// waits in the journal. Only the end of relay breaks those off: the destination would get them again.
func (p *sinkPart) leave() {
	p.drain()
	limit := time.AfterFunc(DrainTime, func() {
		if lane, _ := p.state(); lane != nil {
			lane.Halt()
		}
	})
	defer limit.Stop()
	<-p.ended
}
