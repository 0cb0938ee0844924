package sinks

import (
	"context"

	"github.com/treatrelay/relay/pipeline"
)

// StdoutConfig configures a stdout sink. It has no keys.
type StdoutConfig struct{}

// Validate implements [Config].
func (*StdoutConfig) Validate() error { return nil }

// Open implements [Config].
func (*StdoutConfig) Open(context.Context, Env) (pipeline.Sink, error) { panic("to be written") }
