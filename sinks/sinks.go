// Package sinks lists the sink types of relay, creates a sink from its configuration, and has what the rest of relay
// needs of every sink.
//
// Each type is a package of its own with its configuration and its [pipeline.Sink]. It imports package pipeline, which
// defines the contract, and sinks/internal, which has the code that sinks share. It imports neither this package nor
// another sink. To add a type, write its package and name it in [Types], [NewConfig] and [Open]. The conformance suite
// then tests it.
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

// Config is the part of a sink's configuration that depends on its type. Its exported fields have yaml tags.
type Config interface {
	// Validate checks the values and returns all errors, joined. An error about one key is a [FieldError].
	Validate() error
	// CheckFiles reads the files that a valid configuration names and returns all errors, joined. An error about one
	// key is a [FieldError]. It opens no connection.
	CheckFiles() error
	// Concurrency returns the default maximum number of concurrent deliveries; 0 means no limit.
	Concurrency() int
}

// Env has the dependencies of a sink on the process it runs in.
type Env struct {
	Name   string    // the sink's name in the configuration
	Stdout io.Writer // for events
	// NATS connects to the server that relay itself runs for overlays. Only a nats sink without a url calls it, and
	// then owns the connection.
	NATS func(ctx context.Context) (*nats.Conn, error)
	// NATSStore reports what that server has stored durably, see [pipeline.Resumer]. It may be nil: then the lane
	// cannot resume from there.
	NATSStore natssink.Store
	// Revive makes that server writable again after its disk was full. It may be called often.
	Revive func() error
	// Bearer returns the access tokens of an account. Only a webhook sink with an account calls it.
	Bearer func(account string) (webhook.Bearer, error)
	// Attempt logs a delivery attempt. A sink calls it once per request or write, whatever the result, and leaves Sink
	// empty. It does not block, is safe for concurrent use, and may be nil.
	Attempt func(pipeline.Attempt)
	// UserAgent is sent with every HTTP request.
	UserAgent string
	Log       zerolog.Logger
}

// FieldError is an error in the value of one configuration key.
type FieldError = field.Error

// Reached describes a connection to a destination that was opened as a check, without a request.
type Reached = outbound.Reached

// Checkup is the input of a sink's own check.
type Checkup = check.Checkup

// CheckResult is the result of a sink's own check.
type CheckResult = check.Result

// Types returns the sink types, as the configuration names them.
func Types() []string { return []string{"stdout", "nats", "webhook", "discord", "slack"} }

// NewConfig returns the default configuration of a sink type, or nil if the type is not in [Types].
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

// Open creates the sink of a valid configuration. The error says what to change.
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
