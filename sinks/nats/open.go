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

// Env is what the sink uses of the process it runs in.
type Env struct {
	Name string // the sink's name in the configuration
	// Connect connects to the server that relay itself runs for overlay backends. It is called only without a url; the connection belongs to
	// the sink from then on.
	Connect func(ctx context.Context) (*nats.Conn, error)
	// Store says what that server holds durably, see [pipeline.Resumer]. If it is nil, the sink's lane cannot know.
	Store Store
	// Revive makes that server able to write again, if it cannot since a disk was full. It may be called often.
	Revive  func() error
	Attempt outcome.AttemptLog
	Log     zerolog.Logger
}

// Store is what is known of the disk of the server that relay itself runs, as [natsserver.Server] implements it.
type Store interface {
	// Sync makes durable what the server's streams hold now.
	Sync(ctx context.Context) error
	// Synced returns up to where a stream was durable at the last Sync, and false if that is not known.
	Synced(stream string) (natsserver.Held, bool)
}

// Open reads the files the configuration names, and does not wait for a server that is down:
// the sink connects when it comes up, and Deliver fails until then.
func (c *Config) Open(ctx context.Context, env Env) (pipeline.Sink, error) {
	s := &sink{
		subjects: subjects{subject: c.Subject},
		stream:   streamConfig(c.Stream, c.Subject, c.Retention),
		gate:     make(chan struct{}, 1),
		life:     life{closing: make(chan struct{}), stop: func() {}},
		attempt:  env.Attempt,
		timeout:  cmp.Or(c.answerTimeout, ackTimeout),
		link:     &link{log: env.Log, waits: map[*context.CancelCauseFunc]struct{}{}},
	}
	if c.URL.Empty() {
		if env.Connect == nil {
			return nil, field.Wrap("url", errors.New("is missing, and relay runs no NATS server of its own here"))
		}
		s.link.server = "relay's own NATS server"
		s.own = &ownServer{revive: env.Revive, store: env.Store}
		s.dial = func(ctx context.Context) (*nats.Conn, error) {
			nc, err := env.Connect(ctx)
			if err == nil {
				s.link.adopt(nc)
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
	s.link.secrets = secrets
	s.link.server = hosts(servers)
	options := append(s.link.options(env.Name), login...)
	s.dial = func(context.Context) (*nats.Conn, error) { return nats.Connect(c.URL.Reveal(), options...) }
	ctx, s.life.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.life.start(func() {
		// What is wrong is logged, and said again by Deliver.
		_, _ = s.connect(ctx)
	})
	return s, nil
}
