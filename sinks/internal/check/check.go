// Package check defines the input and the result of a sink's own check, which relay doctor runs.
package check

import "github.com/treatrelay/relay/sinks/internal/outbound"

// Checkup is the input of a check.
type Checkup struct {
	Name      string // the sink's name in the configuration
	UserAgent string // sent with every HTTP request
}

// Result describes a destination that passed its check. It has no secret.
type Result struct {
	Detail  string           // one line; empty if Reached says it all
	Reached outbound.Reached // the connection; zero if there is a Detail
	Note    string           // what the check could not test; may be empty
}

// Error is a problem with a destination, and its fix.
type Error struct {
	err error
	fix string
}

// Fault returns err with its fix.
func Fault(err error, fix string) error { return &Error{err, fix} }

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Fix returns what to do.
func (e *Error) Fix() string { return e.fix }
