package api

import (
	"errors"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/problem"
)

// Problem says why a request failed (RFC 9457), and what to do about it. It is an [advice.Adviser].
type Problem struct {
	problem.Details
	Code int `json:"code,omitempty" jsonschema_description:"exit code of a command that fails with this problem"`
	// Errors are about single fields of the request.
	Errors []FieldError `json:"errors,omitempty"`
	Hint
}

// Error returns the detail, and what to do.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Fix != "" {
		text += "; " + p.Fix
	}
	return text
}

// The names of problems.
const (
	ProblemUsage        = "usage"         // the request is wrong
	ProblemUnknownEvent = "unknown-event" // neither the journal nor the log of attempts has the event
	ProblemUnknownSink  = "unknown-sink"
	ProblemNoLetter     = "unknown-dead-letter"
	ProblemEventGone    = "event-gone" // the journal no longer holds the event
	ProblemStarting     = "starting"   // relay is starting
	ProblemNotRunning   = "not-running"
	ProblemNoHistory    = "no-history" // the account's provider has none
	ProblemNoAccount    = "unknown-account"
	ProblemNoOverlay    = "unknown-overlay"
	ProblemNoPages      = "no-pages"     // relay serves none
	ProblemNoLogin      = "no-login"     // the login cannot start, or there is none
	ProblemSetup        = "setup-needed" // there is no relay.yaml
	ProblemConfigured   = "configured"   // there is one already
	ProblemFailed       = "failed"
)

// Problems returns the names of all problems.
func Problems() []string {
	return []string{
		ProblemUsage, ProblemUnknownEvent, ProblemUnknownSink, ProblemNoLetter, ProblemEventGone, ProblemStarting, ProblemNotRunning, ProblemNoHistory,
		ProblemNoAccount, ProblemNoOverlay, ProblemNoPages, ProblemNoLogin, ProblemSetup, ProblemConfigured,
		ProblemFailed,
	}
}

// ExitCode returns the exit code of a command that fails with the problem.
func (p *Problem) ExitCode() int {
	if p.Code == 0 {
		return exit.Failure
	}
	return p.Code
}

// NewProblem returns a problem with a status and one of the names of [Problems]. detail is what failed and why, in one line.
func NewProblem(status int, name, detail string) *Problem {
	return &Problem{Details: problem.Of(status, name, detail)}
}

// WithFix adds what to do about a problem.
func (p *Problem) WithFix(fix advice.Fix) *Problem {
	p.Hint = HintOf(fix)
	return p
}

// WithCode sets the exit code of a command that fails with the problem.
func (p *Problem) WithCode(code int) *Problem {
	p.Code = code
	return p
}

// Is reports whether err is a problem with that name.
func Is(err error, name string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Named(name)
}
