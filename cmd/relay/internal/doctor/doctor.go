// Package doctor checks everything that relay needs: configuration, data folder, clock, network, logins, journal and sinks. Each check results in a
// [Finding], which says what to do if something is wrong.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// State is how serious a finding is.
type State string

// How serious a finding is.
const (
	OK      State = "ok"
	Warning State = "warn" // it works, but somebody should check it
	Fault   State = "fault"
	Skipped State = "skipped" // it could not be checked, or did not have to be
)

// Finding is the result of one check, as relay doctor --json prints it. It holds no secret. Warnings and faults have a fix.
type Finding struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"` // the account, sink, host, file or folder that was checked
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	api.Hint

	code int // the exit code of relay doctor if all faults have it
}

func fine(format string, args ...any) Finding {
	return Finding{State: OK, Detail: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{State: Skipped, Detail: fmt.Sprintf(format, args...)}
}

func warned(fix advice.Fix, format string, args ...any) Finding {
	return Finding{State: Warning, Hint: api.HintOf(fix), Detail: fmt.Sprintf(format, args...)}
}

func faulty(fix advice.Fix, format string, args ...any) Finding {
	return Finding{State: Fault, Hint: api.HintOf(fix), Detail: fmt.Sprintf(format, args...), code: exit.Failure}
}

// coded sets the exit code of a fault.
func (f Finding) coded(code int) Finding {
	f.code = code
	return f
}

// A check checks one thing. Its context ends after limit.
type check struct {
	name, subject string
	limit         time.Duration
	do            func(ctx context.Context) Finding
}

// run runs the check.
func (c check) run(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, fmt.Errorf("no answer within %v", c.limit))
	defer cancel()
	f := c.do(ctx)
	f.Name, f.Subject = c.name, c.subject
	return f
}

// A track is a list of checks that run in sequence, because a later one needs the result of an earlier one, or would disturb it.
type track []check

// examine runs the tracks concurrently, and passes the findings to report in the order of the list, each as soon as those before it are known.
// After an error of report it cancels the other checks. It returns when all have ended.
func examine(ctx context.Context, tracks []track, report func(Finding) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop(nil)
	found := make([]chan Finding, len(tracks))
	for i, t := range tracks {
		found[i] = make(chan Finding, len(t))
		running.Go(func() {
			for _, c := range t {
				found[i] <- c.run(ctx)
			}
		})
	}
	for i, t := range tracks {
		for range t {
			f := <-found[i]
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := report(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is the exit code for a list of findings: that of the faults if they agree. A fault of the configuration has precedence, because other
// faults may follow from it.
type outcome struct {
	code     int
	unusable bool // the configuration has a fault
}

func (o *outcome) add(f Finding) {
	switch {
	case f.State != Fault || o.unusable:
	case f.Name == CheckConfig:
		o.code, o.unusable = exit.Config, true
	case o.code == exit.OK || o.code == f.code:
		o.code = f.code
	default:
		o.code = exit.Failure
	}
}

// Options configure the checks.
type Options struct {
	Dir      string // the data folder, which may be missing
	Config   func() (*config.Config, error)
	Identity auth.IdentityOptions
	Ping     bool           // send a test treat to each sink that can take one
	Log      zerolog.Logger // for what opening the journal logs
}

// Examine runs all checks and passes their findings to report, in a fixed order. It returns the exit code for them, or the error of report or of
// ctx.
func Examine(ctx context.Context, o Options, report func(Finding) error) (code int, err error) {
	var all outcome
	err = examine(ctx, newDoctor(ctx, o).tracks(), func(f Finding) error {
		all.add(f)
		return report(f)
	})
	return all.code, err
}
