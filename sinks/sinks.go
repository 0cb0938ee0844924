// Package sinks is the list of the destinations relay knows: which types there are, how one is made from its configuration, and what the rest
// of relay needs of all of them.
//
// A destination is a package of its own, which holds its configuration and its [pipeline.Sink]. It imports the contract, package pipeline, and what
// the sinks share, in sinks/internal; it does not know this list nor another destination. To add one, write its package, and name it in [Types],
// [NewConfig] and [Open]; the conformance suite does the rest.
package sinks

import (
	"context"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/discord"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/check"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/slack"
	"github.com/treatrelay/relay/sinks/stdout"
	"github.com/treatrelay/relay/sinks/webhook"
)

// Config is the part of a sink's configuration that depends on its type. Its exported fields carry yaml tags.
type Config interface {
	// Validate checks the values and returns every fault, joined. An error that concerns one key is a [FieldError].
	Validate() error
	// CheckFiles reads the files that a valid configuration names, which are there, and returns what is wrong with them. An error that concerns
	// one key is a [FieldError]. Nothing is connected to.
	CheckFiles() error
	// Concurrency is how many deliveries at a time suit such a destination, unless the operator says otherwise; 0 is any
	// number.
	Concurrency() int
}

// Env is what a sink may use of the process it runs in.
type Env struct {
	Name   string    // the sink's name in the configuration
	Stdout io.Writer // where data goes
	// NATS connects to the server that relay itself runs for overlay backends. It is called only by a nats sink
	// without a url; the connection belongs to the sink from then on.
	NATS func(ctx context.Context) (*nats.Conn, error)
	// NATSStore says what that server holds durably, see [pipeline.Resumer]. If it is nil, the sink's lane cannot know.
	NATSStore natssink.Store
	// Revive makes that server able to write again, if it cannot since a disk was full. It may be called often.
	Revive func() error
	// Bearer finds the account whose access tokens a webhook sink sends. It is called only by one that names an account.
	Bearer func(account string) (webhook.Bearer, error)
	// Attempt records every attempt to deliver in the log of attempts. A sink calls it once a request or write, whatever came
	// of it, and leaves Sink empty. It does not wait and may be called by several goroutines. It may be nil.
	Attempt func(pipeline.Attempt)
	// UserAgent is sent with every HTTP request.
	UserAgent string
	Log       zerolog.Logger
}

// FieldError is a fault in the value of one configuration key.
type FieldError = field.Error

// Reached is what a connection to a destination has shown, of which nothing was asked.
type Reached = outbound.Reached

// Checkup is what a sink's own check is given.
type Checkup = check.Checkup

// CheckResult is what a sink's own check finds.
type CheckResult = check.Result

// Types lists the sink types by the name they have in the configuration.
func Types() []string { return []string{"stdout", "nats", "webhook", "discord", "slack"} }

// NewConfig returns an empty configuration for a sink type, with its defaults filled in, or nil for a type that is not
// among [Types].
func NewConfig(typ string) Config {
	switch typ {
	case "stdout":
		return stdout.NewConfig()
	case "nats":
		return natssink.NewConfig()
	case "webhook":
		return webhook.NewConfig()
	case "discord":
		return discord.NewConfig()
	case "slack":
		return slack.NewConfig()
	}
	return nil
}

// Open makes the sink of a valid configuration ready to deliver, with what it needs of env. An error says what to change.
func Open(ctx context.Context, config Config, env Env) (pipeline.Sink, error) {
	switch c := config.(type) {
	case *stdout.Config:
		return c.Open(ctx, stdout.Env{Out: env.Stdout, Attempt: env.Attempt})
	case *natssink.Config:
		return c.Open(ctx, natssink.Env{
			Name: env.Name, Connect: env.NATS, Store: env.NATSStore, Revive: env.Revive, Attempt: env.Attempt, Log: env.Log,
		})
	case *webhook.Config:
		return c.Open(ctx, webhook.Env{Bearer: env.Bearer, Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	case *discord.Config:
		return c.Open(ctx, chat.Env{Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	case *slack.Config:
		return c.Open(ctx, chat.Env{Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	}
	return nil, fmt.Errorf("open sink %s: %T is not the configuration of a known type", env.Name, config)
}
