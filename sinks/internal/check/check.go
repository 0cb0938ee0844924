// Package check has what a sink's own check is given and finds, for relay doctor to report.
package check

import "github.com/treatrelay/relay/sinks/internal/outbound"

// Checkup is what a check is given.
type Checkup struct {
	Name      string // the sink's name in the configuration
	UserAgent string // sent with every HTTP request
}

// Result is what a check has found of a destination that can be delivered to. It holds no secret.
type Result struct {
	Detail  string           // in one line; empty: Reached says it
	Reached outbound.Reached // the connection that was made; zero with a Detail
	Note    string           // what the check could not find out, if anything
}

// Error is what is wrong with a destination, with what to do about it.
type Error struct {
	err error
	fix string
}

// Fault returns err with what to do about it.
func Fault(err error, fix string) error { return &Error{err, fix} }

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Fix says what to do.
func (e *Error) Fix() string { return e.fix }
