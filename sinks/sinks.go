// Package sinks holds the destinations relay knows: one file each, with its configuration and its [pipeline.Sink].
//
// To add one, write its file and add a line to [NewConfig] and [Types]; the conformance suite does the rest.
package sinks

import (
	"context"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
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
	NATSStore NATSStore
	// Revive makes that server able to write again, if it cannot since a disk was full. It may be called often.
	Revive func() error
	// Bearer finds the account whose access tokens a webhook sink sends. It is called only by one that names an account.
	Bearer func(account string) (Bearer, error)
	// Attempt takes every try to deliver down in the log of attempts. A sink calls it once a request or write, whatever came
	// of it, and leaves Sink empty. It does not wait and may be called by several goroutines. It may be nil.
	Attempt func(pipeline.Attempt)
	// UserAgent is sent with every HTTP request.
	UserAgent string
	Log       zerolog.Logger
}

// Types lists the sink types by the name they have in the configuration.
func Types() []string { return []string{"stdout", "nats", "webhook", "discord", "slack"} }

// NewConfig returns an empty configuration for a sink type, with its defaults filled in, or nil for a type that is not
// among [Types].
func NewConfig(typ string) Config {
	switch typ {
	case "stdout":
		return NewStdoutConfig()
	case "nats":
		return NewNATSConfig()
	case "webhook":
		return NewWebhookConfig()
	case "discord":
		return NewDiscordConfig()
	case "slack":
		return NewSlackConfig()
	}
	return nil
}

// Open makes the sink of a valid configuration ready to deliver, with what it needs of env. An error says what to change.
func Open(ctx context.Context, config Config, env Env) (pipeline.Sink, error) {
	switch c := config.(type) {
	case *StdoutConfig:
		return c.Open(ctx, StdoutEnv{Out: env.Stdout, Attempt: env.Attempt})
	case *NATSConfig:
		return c.Open(ctx, NATSEnv{
			Name: env.Name, Connect: env.NATS, Store: env.NATSStore, Revive: env.Revive, Attempt: env.Attempt, Log: env.Log,
		})
	case *WebhookConfig:
		return c.Open(ctx, WebhookEnv{Bearer: env.Bearer, Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	case *DiscordConfig:
		return c.Open(ctx, ChatEnv{Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	case *SlackConfig:
		return c.Open(ctx, ChatEnv{Attempt: env.Attempt, UserAgent: env.UserAgent, Log: env.Log})
	}
	return nil, fmt.Errorf("open sink %s: %T is not the configuration of a known type", env.Name, config)
}
