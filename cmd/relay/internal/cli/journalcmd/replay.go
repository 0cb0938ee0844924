package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// replayFlags are those of relay replay.
type replayFlags struct {
	eventFlags
	sink, speed, resume string
	dryRun              bool
}

// Replay is relay replay: events to a sink again.
func Replay(p *state.State) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay", Short: "Send events of the journal to a sink again", Args: state.NoArgs,
		Long: `Send events of the journal to one sink again: with the ids and times they have, and as events of the origin replay. They go to
the end of the journal, and the sink takes them when their turn comes, also if relay does not run now. What the sink's
configuration leaves out is left out of a replay too. Test treats are not replayed.`,
		Example: `  relay replay --since 2026-07-16T20:00:00Z --until 2026-07-16T23:00:00Z --sink overlay --speed 10x
  relay replay --since 24h --sink bot --dry-run
  relay replay --id trt_06H003C601TTVEEHS54BW8N74C --sink bot`,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReplay(cmd.Context(), p, &f) },
	}
	flags := cmd.Flags()
	f.register(flags, "live or backfill")
	flags.StringVar(&f.sink, "sink", "", "the sink's name in the configuration")
	flags.StringVar(&f.speed, "speed", "max", "max, or how many times as fast as the treats came, such as 1x or 10x")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count what would be sent")
	flags.StringVar(&f.resume, "resume", "", "go on with a replay that was cut off, as its last line says")
	return cmd
}

func runReplay(ctx context.Context, p *state.State, f *replayFlags) error {
	filter, err := f.filter(time.Now(), pipeline.OriginLive, pipeline.OriginBackfill)
	if err != nil {
		return err
	}
	if len(filter.Origins) == 0 {
		filter.Origins = []pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill}
	}
	switch {
	case f.sink == "":
		return exit.Usagef("relay replay wants --sink, the sink to send to; see relay replay --help")
	case f.since == "" && len(f.ids) == 0:
		return exit.Usagef("relay replay wants --since or --id; see relay replay --help")
	}
	speed, err := parseSpeed(f.speed)
	if err != nil {
		return err
	}
	at, err := parseCheckpoint(f.resume)
	if err != nil {
		return err
	}
	cfg, err := p.LoadConfig(p.Logger())
	if err != nil {
		return err
	}
	sink, err := namedSink(cfg, f.sink)
	if err != nil {
		return err
	}
	if filter.Accounts, err = accountsOf(sink, filter.Accounts); err != nil {
		return err
	}
	runs := p.RelayRuns(ctx)
	r := &replay{State: p, sink: sink.Name, filtered: sink.Lane.Filter != nil, flags: f, filter: filter, at: at, pacer: pacer{speed: speed}, progress: terminal.NewProgress(p.Err, terminal.Is(p.Err))}
	err = p.WithAPI(ctx, func(c *api.Client) error {
		state, err := sinkReady(ctx, c, sink.Name)
		if err != nil {
			return err
		}
		r.disabled = !state.DisabledSince.IsZero()
		return r.run(ctx, c)
	})
	return r.close(err, runs)
}

// namedSink is the sink of that name.
func namedSink(cfg *config.Config, name string) (config.Sink, error) {
	var names []string
	for _, s := range cfg.Sinks {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return config.Sink{}, exit.Usagef("--sink %q: no sink of %s has this name; %s", name, cfg.Path, text.Suggest(name, names))
}

// accountsOf are the accounts that were wanted, or all that the sink is sent.
func accountsOf(sink config.Sink, wanted []string) ([]string, error) {
	taken := sink.Lane.Accounts
	if len(wanted) == 0 || len(taken) == 0 {
		return slices.Concat(wanted, taken), nil
	}
	for _, a := range wanted {
		if !slices.Contains(taken, a) {
			return nil, exit.Usagef("--account %s: sink %s is not sent this account; sinks.%s.accounts has [%s]", a, sink.Name, sink.Name, strings.Join(taken, ", "))
		}
	}
	return wanted, nil
}

// sinkReady is the status of a sink that has its place in the journal. Before it has, what is put before it would not reach it.
func sinkReady(ctx context.Context, c *api.Client, name string) (api.Sink, error) {
	all, err := c.Sinks(ctx)
	if err != nil {
		return api.Sink{}, err
	}
	for _, s := range all {
		if s.Sink == name && s.Opened {
			return s, nil
		}
	}
	return api.Sink{}, exit.With(exit.Unavailable, fmt.Errorf("sink %s has never run, so it has no place in the journal yet: start relay with it once", name))
}

// afterwards says when the sink gets what was put before it.
func afterwards(sink string, runs, disabled bool) string {
	switch {
	case disabled:
		return " " + sink + " is disabled: relay sinks enable " + sink + " lets it have them."
	case !runs:
		return " No relay runs on this data folder; delivered at its next start."
	}
	return ""
}

// A replay is one under way.
type replay struct {
	*state.State
	sink     string
	flags    *replayFlags
	filter   query.EventFilter
	at       checkpoint
	pacer    pacer
	progress terminal.Progress
	disabled bool
	filtered bool // the sink has a filter
	begun    bool
	n        int // sent
}

// run sends what is journaled by now.
func (r *replay) run(ctx context.Context, c *api.Client) error {
	if r.at.last == 0 {
		j, err := c.Journal(ctx)
		if err != nil || j.Last == 0 {
			return err
		}
		r.at.last = j.Last
	}
	r.filter.After, r.filter.Last, r.begun = r.at.done, r.at.last, true
	switch {
	case r.flags.dryRun:
		return eachEvent(ctx, c, &api.EventQuery{EventFilter: r.filter}, func(e *api.Event) error {
			r.n++
			return r.progress.Show(r.n, e.Time)
		})
	case r.pacer.speed == 0:
		return r.send(ctx, c, r.at.last)
	}
	return r.runPaced(ctx, c)
}

// runPaced has each event sent when its turn has come, and those together whose turn has come meanwhile.
func (r *replay) runPaced(ctx context.Context, c *api.Client) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	due := make(chan uint64, 1) // the number up to which the turn has come
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() {
		for last := range due {
			if sendErr = r.send(ctx, c, last); sendErr != nil {
				stop(sendErr)
				return
			}
		}
	})
	err := eachEvent(ctx, c, &api.EventQuery{EventFilter: r.filter}, func(e *api.Event) error {
		if err := r.pacer.wait(ctx, e.Time); err != nil {
			return err
		}
		for {
			select {
			case due <- e.Number:
				return nil
			case <-due: // nobody has taken the one before: this one includes it
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	close(due)
	sender.Wait()
	if sendErr != nil && !errors.Is(err, exit.ErrSignal) {
		return sendErr
	}
	return err
}

// send has the events up to a number sent, part by part, and notes how far it has come.
func (r *replay) send(ctx context.Context, c *api.Client, last uint64) error {
	order := api.ReplayOrder{Sink: r.sink, Run: r.at.run, EventChoice: api.ChoiceOf(&r.filter)}
	order.After, order.Last = r.at.done, last
	for {
		part, err := c.Replay(ctx, &order)
		if err != nil {
			return err
		}
		if part.Sent > 0 {
			r.n, r.at.done, order.After = r.n+part.Sent, part.Done, part.Done
			if err := r.progress.Show(r.n, part.Latest); err != nil {
				return err
			}
		}
		if !part.More {
			return nil
		}
	}
}

// close says what became of the replay.
func (r *replay) close(err error, runs bool) error {
	if clearErr := r.progress.Clear(); err == nil {
		err = clearErr
	}
	events, then := "events", afterwards(r.sink, runs, r.disabled)
	if r.n == 1 {
		events = "event"
	}
	if r.filtered {
		then = " Its filter decides on each." + then
	}
	switch {
	case err == nil && r.n == 0:
		return r.Say("Nothing matched: there is no such event.")
	case err == nil && r.flags.dryRun:
		return r.Say("Dry run, nothing was sent: %d %s for %s.", r.n, events, r.sink)
	case err == nil:
		return r.Say("Sent %d %s to %s again.%s", r.n, events, r.sink, then)
	case !r.begun || r.flags.dryRun:
		return err
	}
	said := r.Say("Sent %d %s to %s again, not all.%s To go on, within two hours: %s", r.n, events, r.sink, then, r.onward())
	if errors.Is(err, exit.ErrSignal) {
		return errors.Join(exit.ErrSilent, said)
	}
	return errors.Join(err, said)
}

// onward is the command that does the rest. Its times are fixed, for those of the flags may mean how long ago.
func (r *replay) onward() string {
	words := []string{"relay", "replay", "--sink", r.sink, "--speed", r.flags.speed, "--resume", r.at.String()}
	if !r.filter.Since.IsZero() {
		words = append(words, "--since", r.filter.Since.Format(time.RFC3339Nano))
	}
	if !r.filter.Until.IsZero() {
		words = append(words, "--until", r.filter.Until.Format(time.RFC3339Nano))
	}
	for _, list := range []struct {
		flag   string
		values []string
	}{{"--account", r.flags.accounts}, {"--id", r.flags.ids}, {"--origin", r.flags.origins}} {
		for _, v := range list.values {
			words = append(words, list.flag, text.ShellQuote(v))
		}
	}
	if r.ConfigPath != "" {
		words = append(words, "--config", text.ShellQuote(r.ConfigPath))
	}
	if r.DataDir != "" {
		words = append(words, "--data-dir", text.ShellQuote(r.DataDir))
	}
	return strings.Join(words, " ")
}
