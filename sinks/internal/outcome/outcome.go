package outcome

import (
	"context"
	"errors"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// redacted is an error whose text has lost its secrets.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// Redact takes the secrets out of the text of err. What [errors.Is] and [errors.As] find in it stays.
func Redact(err error, secrets []secret.String) error {
	if err == nil {
		return nil
	}
	text := secret.Scrub(err.Error(), secrets...)
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// ErrClosed is what Deliver returns after Close.
var ErrClosed = errors.New("the sink is closed")

// Unavailable marks an error as one of the destination as a whole, unless it is the record's own.
func Unavailable(err error) error {
	if pipeline.IsRefusal(err) {
		return err
	}
	return pipeline.Unavailable(err)
}

// Cause returns why ctx ended, or err when it has not.
func Cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
