// Package exit defines the exit codes of commands, and the errors that determine them.
package exit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
)

// Exit codes, after sysexits.h.
const (
	OK           = 0
	Failure      = 1
	Usage        = 64
	Unavailable  = 69
	Unauthorized = 77
	Config       = 78
)

// codedError is an error with an exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// With returns err with an exit code. If err is nil it returns nil.
func With(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code, err}
}

// Usagef formats an error of the command line, with the code [Usage].
func Usagef(format string, args ...any) error {
	return With(Usage, fmt.Errorf(format, args...))
}

// Code returns the exit code of a command that returned err. The code of [With] has precedence, then that of an error of auth, then that of a method
// ExitCode.
func Code(err error) int {
	var coded *codedError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, auth.ErrNoGrant), errors.Is(err, auth.ErrReauthorize), errors.Is(err, auth.ErrOutcomeUnknown), errors.Is(err, auth.ErrUnusable):
		return Unauthorized
	case errors.Is(err, auth.ErrClientRefused): // client_id or client_secret are wrong
		return Config
	}
	if own, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		return own.ExitCode()
	}
	return Failure
}

// Text formats err for the user, one line per error. Global flags are added to the relay commands that err advises; they begin with a blank, or are
// empty.
func Text(err error, flags string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(advice.Text(err, flags), "\n") {
		if line != "" {
			b.WriteString("relay: " + line + "\n")
		}
	}
	return b.String()
}

// ErrSignal is the cause of the end of the context after SIGINT or SIGTERM.
var ErrSignal = errors.New("signal received")

// ErrSilent is an error that the command has reported itself.
var ErrSilent = errors.New("reported already")
