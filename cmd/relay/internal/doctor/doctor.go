// Package doctor checks everything that relay needs, and reports what it finds with what to do about it.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// State is how serious a finding is.
type State string

// How serious a finding is.
const (
	OK      State = "ok"
	Warning State = "warn" // it works, and somebody should look at it
	Fault   State = "fault"
	Skipped State = "skipped" // it could not be looked at, or has no need to be
)

// Finding is what one check has found, as --json shows it. It holds no secret.
type Finding struct {
	Name    string `json:"name"`
	Subject string `json:"subject,omitempty"` // the account, sink, host, file or folder that was looked at
	State   State  `json:"state"`
	Detail  string `json:"detail"`
	api.Hint

	code int // what relay doctor exits with if this is the only kind of fault
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

// coded gives a fault an exit code of its own.
func (f Finding) coded(code int) Finding {
	f.code = code
	return f
}

// A check looks at one thing. Its context ends after limit.
type check struct {
	name, subject string
	limit         time.Duration
	look          func(ctx context.Context) Finding
}

// run carries the check out.
func (c check) run(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, fmt.Errorf("no answer within %v", c.limit))
	defer cancel()
	f := c.look(ctx)
	f.Name, f.Subject = c.name, c.subject
	return f
}

// A track is checks that are made one after the other, since a later one needs what an earlier one has found out, or would
// disturb it.
type track []check

// examine makes the checks, the tracks at the same time, and hands over what they find in the order of the list, each as soon
// as those before it are done. After an error of tell the checks under way are called off.
func examine(ctx context.Context, tracks []track, tell func(Finding) error) error {
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
			if err := tell(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is the exit code that findings add up to: that of the faults if they agree. A configuration that cannot be used goes
// before all others, which may follow from it.
type outcome struct {
	code     int
	unusable bool // the configuration is
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

// Options say what to examine.
type Options struct {
	Dir      string // the data folder, whether or not it is there
	Config   func() (*config.Config, error)
	Identity store.IdentityOptions
	Ping     bool           // send a signed test treat to each webhook sink
	Log      zerolog.Logger // of what opens the journal
}

// Examine makes all checks, and hands over what they find, in order. It returns the exit code that the findings add up to.
func Examine(ctx context.Context, o Options, tell func(Finding) error) (code int, err error) {
	var all outcome
	err = examine(ctx, newDoctor(ctx, o).tracks(), func(f Finding) error {
		all.add(f)
		return tell(f)
	})
	return all.code, err
}
