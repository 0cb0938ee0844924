package outcome

import (
	"context"
	"errors"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// redacted is an error whose secrets are removed from its text.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// Redact removes the secrets from the text of err. It still wraps err for [errors.Is] and [errors.As].
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

// ErrClosed is the error of Deliver after Close.
var ErrClosed = errors.New("the sink is closed")

// Unavailable marks an error as one of the whole destination, unless it is a refusal of the record.
func Unavailable(err error) error {
	if pipeline.IsRefusal(err) {
		return err
	}
	return pipeline.Unavailable(err)
}

// Cause returns the cause of the end of ctx, or err if ctx has not ended.
func Cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
