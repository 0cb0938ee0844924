package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Env has the dependencies of the sink on the process it runs in.
type Env struct {
	Name string // the sink's name in the configuration
	// Connect connects to the server that relay itself runs for overlays. It is called only without a url; the sink
	// then owns the connection.
	Connect func(ctx context.Context) (*nats.Conn, error)
	// Store reports what that server has stored durably, see [pipeline.Resumer]. It may be nil: then the lane cannot
	// resume from there.
	Store Store
	// Revive makes that server writable again after its disk was full. It may be called often.
	Revive  func() error
	Attempt outcome.AttemptLog
	Log     zerolog.Logger
}

// Store is the disk of the server that relay itself runs; [natsserver.Server] implements it.
type Store interface {
	// Sync makes the current content of all streams durable.
	Sync(ctx context.Context) error
	// Synced returns the position up to which a stream was durable at the last Sync, and false if that is unknown.
	Synced(stream string) (natsserver.Held, bool)
}

// Open reads the files that the configuration names. It does not wait for a configured server that is down: the sink
// connects when the server is up, and Deliver fails until then.
func (c *Config) Open(ctx context.Context, env Env) (pipeline.Sink, error) {
	s := &sink{
		subjects:  subjects{subject: c.Subject},
		stream:    streamConfig(c.Stream, c.Subject, c.Retention),
		routeLock: make(chan struct{}, 1),
		life:      life{closing: make(chan struct{}), stop: func() {}},
		attempt:   env.Attempt,
		timeout:   cmp.Or(c.answerTimeout, ackTimeout),
		conn:      &connState{log: env.Log, waits: map[*context.CancelCauseFunc]struct{}{}},
	}
	if c.URL.Empty() {
		if env.Connect == nil {
			return nil, field.Wrap("url", errors.New("is missing, and relay runs no NATS server of its own here"))
		}
		s.conn.server = "relay's own NATS server"
		s.own = &ownServer{revive: env.Revive, store: env.Store}
		s.dial = func(ctx context.Context) (*nats.Conn, error) {
			nc, err := env.Connect(ctx)
			if err == nil {
				s.conn.adopt(nc)
			}
			return nc, err
		}
		if _, err := s.connect(ctx); err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("open nats sink: %w", err)
		}
		return s, nil
	}
	servers, err := parseServers(c.URL)
	if err != nil {
		return nil, field.Wrap("url", err)
	}
	login, secrets, err := c.login(servers)
	if err != nil {
		return nil, err
	}
	s.conn.secrets = secrets
	s.conn.server = hosts(servers)
	options := append(s.conn.options(env.Name), login...)
	s.dial = func(context.Context) (*nats.Conn, error) { return nats.Connect(c.URL.Reveal(), options...) }
	ctx, s.life.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.life.start(func() {
		// An error is logged, and returned again by Deliver.
		_, _ = s.connect(ctx)
	})
	return s, nil
}
