package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// findingState is how serious a finding is.
type findingState string

const (
	foundOK      findingState = "ok"
	foundWarning findingState = "warn" // it works, and somebody should look at it
	foundFault   findingState = "fault"
	foundNothing findingState = "skipped" // it could not be looked at, or has no need to be
)

// finding is what one check has found, as --json shows it. It holds no secret.
type finding struct {
	Name    string       `json:"name"`
	Subject string       `json:"subject,omitempty"` // the account, sink, host, file or folder that was looked at
	State   findingState `json:"state"`
	Detail  string       `json:"detail"`
	Mend    string       `json:"mend,omitempty"` // what to do about it

	code int // what relay doctor exits with if this is the only kind of fault
}

func fine(format string, args ...any) finding {
	return finding{State: foundOK, Detail: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) finding {
	return finding{State: foundNothing, Detail: fmt.Sprintf(format, args...)}
}

func warned(mend, format string, args ...any) finding {
	return finding{State: foundWarning, Mend: mend, Detail: fmt.Sprintf(format, args...)}
}

func faulty(mend, format string, args ...any) finding {
	return finding{State: foundFault, Mend: mend, Detail: fmt.Sprintf(format, args...), code: exit.Failure}
}

// coded gives a fault an exit code of its own.
func (f finding) coded(code int) finding {
	f.code = code
	return f
}

// line is the finding for people.
func (f finding) line() string {
	word := map[findingState]string{foundOK: "ok   ", foundWarning: "warn ", foundFault: "FAULT", foundNothing: "skip "}[f.State]
	text := word + " " + f.Name
	if f.Subject != "" {
		text += " " + f.Subject
	}
	text += ": " + f.Detail
	if f.Mend != "" {
		text += "; mend: " + f.Mend
	}
	return text + "\n"
}

// A check looks at one thing. Its context ends after limit.
type check struct {
	name, subject string
	limit         time.Duration
	look          func(ctx context.Context) finding
}

// run carries the check out.
func (c check) run(ctx context.Context) finding {
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
func examine(ctx context.Context, tracks []track, tell func(finding) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop(nil)
	found := make([]chan finding, len(tracks))
	for i, t := range tracks {
		found[i] = make(chan finding, len(t))
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

func (o *outcome) add(f finding) {
	switch {
	case f.State != foundFault || o.unusable:
	case f.Name == checkConfig:
		o.code, o.unusable = exit.Config, true
	case o.code == exit.OK || o.code == f.code:
		o.code = f.code
	default:
		o.code = exit.Failure
	}
}

func (p *program) doctorCommand() *cobra.Command {
	var asJSON, ping bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for whatever keeps treats from arriving, and say how to mend it", Args: noArgs,
		Long: `Look at everything that relay needs: the configuration, the data folder and its disk, the clock, the network, the logins,
the realtime server and each sink. One line each, with what to do about a fault. It works whether or not relay runs on the
data folder. If none runs, a login that has expired is renewed, and the journal is opened, with what that mends at a start.

To see whether the realtime server lets relay in, it connects with a socket token of its own, and leaves at once. Nothing is sent
to a sink unless --ping says so.`,
		Example: "  relay doctor\n  relay doctor --ping\n  relay doctor --json | jq -r 'select(.state == \"fault\") | .mend'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := p.doctor(cmd.Context(), asJSON, ping)
			if errors.Is(err, syscall.EPIPE) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.Flags().BoolVar(&ping, "ping", false, "send a signed test treat to each webhook sink")
	return cmd
}

// doctor examines everything. It fails, without a word, if there is a fault.
func (p *program) doctor(ctx context.Context, asJSON, ping bool) error {
	d, err := p.newDoctor(ctx, ping)
	if err != nil {
		return err
	}
	var o outcome
	lines := json.NewEncoder(p.out)
	lines.SetEscapeHTML(false)
	err = examine(ctx, d.tracks(), func(f finding) error {
		f.Detail, f.Mend = text.Printable(f.Detail), p.advise(text.Printable(f.Mend))
		o.add(f)
		if asJSON {
			return lines.Encode(f)
		}
		_, err := io.WriteString(p.out, f.line())
		return err
	})
	if err == nil && o.code != exit.OK {
		err = exit.With(o.code, exit.ErrSilent)
	}
	return err
}
