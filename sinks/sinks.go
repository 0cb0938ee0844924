// Package sinks holds the destinations relay knows: one file each, with its configuration and its [pipeline.Sink].
//
// To add one, write its file and add a line to [NewConfig] and [Types]; the conformance suite does the rest.
package sinks

import (
	"context"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/secret"
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
	// Open makes the sink ready to deliver. An error says what to change.
	Open(ctx context.Context, env Env) (pipeline.Sink, error)
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

// NATSStore is what is known of the disk of the server that relay itself runs, as [natsserver.Server] implements it.
type NATSStore interface {
	// Sync makes durable what the server's streams hold now.
	Sync(ctx context.Context) error
	// Synced returns up to where a stream was durable at the last Sync, and false if that is not known.
	Synced(stream string) (natsserver.Held, bool)
}

// attempt takes a down, if somebody wants it.
func (e Env) attempt(a pipeline.Attempt) {
	if e.Attempt != nil {
		e.Attempt(a)
	}
}

// takeDown makes an attempt of the records that were accepted at once, and one of the record after them that was not, if err
// says why.
func takeDown(attempt func(pipeline.Attempt), endpoint string, start time.Time, records []pipeline.Record, accepted int, err error) {
	a := pipeline.Attempt{Time: start, Endpoint: endpoint, Latency: time.Since(start)}
	if accepted > 0 {
		a.Events = make([]string, 0, accepted)
		for _, r := range records[:accepted] {
			a.Events = append(a.Events, r.ID)
		}
		attempt(a)
	}
	if err != nil && accepted < len(records) {
		a.Events, a.Error = []string{records[accepted].ID}, err.Error()
		attempt(a)
	}
}

// Bearer gives the access tokens of one account (RFC 6750). Its methods may be called by several goroutines.
type Bearer interface {
	// Token gives a valid token and its generation, which counts the tokens of the account.
	Token(ctx context.Context) (token secret.String, generation int64, err error)
	// Refresh gives a newer token than the one of that generation, which the receiver refused.
	Refresh(ctx context.Context, generation int64) (token secret.String, newer int64, err error)
}

// FieldError is a fault in the value of one configuration key.
type FieldError struct {
	Field string // the yaml key
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Types lists the sink types by the name they have in the configuration.
func Types() []string { return []string{"stdout", "nats", "webhook", "discord", "slack"} }

// NewConfig returns an empty configuration for a sink type, with its defaults filled in, or nil for a type that is not
// among [Types].
func NewConfig(typ string) Config {
	switch typ {
	case "stdout":
		return new(StdoutConfig)
	case "nats":
		return &NATSConfig{Subject: DefaultNATSSubject, Stream: DefaultNATSStream, Retention: DefaultNATSRetention}
	case "webhook":
		return &WebhookConfig{Method: DefaultWebhookMethod, Timeout: DefaultWebhookTimeout}
	case "discord":
		return &DiscordConfig{Color: DefaultDiscordColor, Timeout: DefaultChatTimeout}
	case "slack":
		return &SlackConfig{Timeout: DefaultChatTimeout}
	}
	return nil
}
