package journalcmd

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/terminal"
)

// replayOptions are the options of relay replay.
type replayOptions struct {
	*state.State
	eventFlags
	sink, speed, resume string
	dryRun              bool
}

// NewReplayCmd returns relay replay.
func NewReplayCmd(s *state.State) *cobra.Command {
	o := replayOptions{State: s}
	cmd := &cobra.Command{
		Use: "replay", Short: "Send events in the journal to a sink again", Args: state.NoArgs,
		Long: `Send events in the journal to one sink again, with the same IDs and times, and
the origin replay. Use it if a receiver lost events, or for a sink that you
added later. The events go to the end of the journal, so the sink receives them
after the events that already wait for it; if relay does not run now, it sends
them when it starts. The sink's filter and its other rules apply to a replay
too. Test treats are not replayed.

An interrupted replay prints the command to continue it.`,
		Example: `  relay replay --since 2026-07-16T20:00:00Z --until 2026-07-16T23:00:00Z --sink overlay --speed 10x
  relay replay --since 24h --sink bot --dry-run
  relay replay --id trt_06H003C601TTVEEHS54BW8N74C --sink bot`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	o.register(flags, "live or backfill")
	flags.StringVar(&o.sink, "sink", "", "the sink's name in the configuration")
	flags.StringVar(&o.speed, "speed", "max", "max, or a multiple of the speed at which the treats were sent, such as 1x or 10x")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only count the events, and send none")
	flags.StringVar(&o.resume, "resume", "", "continue an interrupted replay, with the value from its last line")
	return cmd
}

func (o *replayOptions) run(ctx context.Context) error {
	r, sink, err := o.newReplay()
	if err != nil {
		return err
	}
	runs, disabled := o.RelayRuns(ctx), false
	err = o.WithAPI(ctx, func(c *api.Client) error {
		opened, err := findOpenedSink(ctx, c, sink.Name)
		if err != nil {
			return err
		}
		disabled = !opened.DisabledSince.IsZero()
		return r.run(ctx, c)
	})
	if clearErr := r.progress.Clear(); err == nil {
		err = clearErr
	}
	note := deliveryNote(o.State, sink.Name, runs, disabled)
	if sink.Lane.Filter != nil {
		note = " The sink's filter decides on each." + note
	}
	return o.report(r, err, note)
}

// newReplay validates the options.
func (o *replayOptions) newReplay() (*replay, config.Sink, error) {
	var sink config.Sink
	filter, err := o.filter(time.Now(), treatOrigins()...)
	if err != nil {
		return nil, sink, err
	}
	if len(filter.Origins) == 0 {
		filter.Origins = treatOrigins()
	}
	switch {
	case o.sink == "":
		return nil, sink, exit.Usagef("relay replay wants --sink, the sink to send to; see relay replay --help")
	case o.since == "" && len(o.ids) == 0:
		return nil, sink, exit.Usagef("relay replay wants --since or --id; see relay replay --help")
	}
	speed, err := parseSpeed(o.speed)
	if err != nil {
		return nil, sink, err
	}
	at, err := parseCheckpoint(o.resume)
	if err != nil {
		return nil, sink, err
	}
	cfg, err := o.LoadConfig(o.Logger())
	if err != nil {
		return nil, sink, err
	}
	if sink, err = findSink(cfg, o.sink); err != nil {
		return nil, sink, err
	}
	if filter.Accounts, err = selectAccounts(sink, filter.Accounts); err != nil {
		return nil, sink, err
	}
	return &replay{
		sink: sink.Name, filter: filter, dryRun: o.dryRun, at: at, pacer: pacer{speed: speed},
		progress: terminal.NewProgress(o.Err, terminal.Is(o.Err)),
	}, sink, nil
}

// report says how a replay ended, and returns err. note follows the count, and begins with a blank.
func (o *replayOptions) report(r *replay, err error, note string) error {
	events := plural(r.sent, "event")
	switch {
	case err == nil && r.sent == 0:
		return o.Say("Nothing matched: there is no such event.")
	case err == nil && o.dryRun:
		return o.Say("Dry run, nothing was sent: %s for %s.", events, r.sink)
	case err == nil:
		return o.Say("Sent %s to %s again.%s", events, r.sink, note)
	case !r.started || o.dryRun:
		return err
	}
	reportErr := o.Say("Sent %s to %s again, not all.%s\nTo continue within two hours, run: %s", events, r.sink, note, o.resumeCommand(r))
	if errors.Is(err, exit.ErrSignal) {
		return errors.Join(exit.ErrSilent, reportErr)
	}
	return errors.Join(err, reportErr)
}

// resumeCommand is the command that continues a replay. Its times are absolute, since the flags may be relative to the current time.
func (o *replayOptions) resumeCommand(r *replay) string {
	words := []string{"replay", "--sink", r.sink, "--speed", o.speed, "--resume", r.at.String()}
	if !r.filter.Since.IsZero() {
		words = append(words, "--since", r.filter.Since.Format(time.RFC3339Nano))
	}
	if !r.filter.Until.IsZero() {
		words = append(words, "--until", r.filter.Until.Format(time.RFC3339Nano))
	}
	for _, list := range []struct {
		flag   string
		values []string
	}{{"--account", o.accounts}, {"--id", o.ids}, {"--origin", o.origins}} {
		for _, value := range list.values {
			words = append(words, list.flag, value)
		}
	}
	return o.Command(words...)
}
