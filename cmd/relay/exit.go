package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
)

// Exit codes, after sysexits.h.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 64
	exitUnavailable  = 69
	exitUnauthorized = 77
	exitConfig       = 78
)

// exitError is an error that decides the exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

func usagef(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}

// exitCode is the code of a command that returned err.
func exitCode(err error) int {
	var coded *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, auth.ErrNoGrant), errors.Is(err, auth.ErrReauthorize), errors.Is(err, auth.ErrOutcomeUnknown), errors.Is(err, auth.ErrUnusable):
		return exitUnauthorized
	case errors.Is(err, auth.ErrClientRefused): // client_id or client_secret are wrong
		return exitConfig
	}
	if _, ok := errors.AsType[ConfigErrors](err); ok {
		return exitConfig
	}
	return exitFailure
}

// errorText is what the user reads: one line an error. The commands that err advises get these flags.
func errorText(err error, flags string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(advice.Text(err, flags), "\n") {
		if line != "" {
			b.WriteString("relay: " + line + "\n")
		}
	}
	return b.String()
}
