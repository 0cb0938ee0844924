package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// replayFlags are those of relay replay.
type replayFlags struct {
	eventFlags
	sink, speed, resume string
	dryRun              bool
}

func (p *program) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay", Short: "Send events of the journal to a sink again", Args: noArgs,
		Long: `Send events of the journal to one sink again: with the ids and times they have, and as events of the origin replay. They go to
the end of the journal, and the sink takes them when their turn comes, also if relay does not run now. What the sink's
configuration leaves out is left out of a replay too. Test treats are not replayed.`,
		Example: `  relay replay --since 2026-07-16T20:00:00Z --until 2026-07-16T23:00:00Z --sink overlay --speed 10x
  relay replay --since 24h --sink bot --dry-run
  relay replay --id trt_06H003C601TTVEEHS54BW8N74C --sink bot`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.replay(cmd.Context(), &f) },
	}
	flags := cmd.Flags()
	f.register(flags, "live or backfill")
	flags.StringVar(&f.sink, "sink", "", "the sink's name in the configuration")
	flags.StringVar(&f.speed, "speed", "max", "max, or how many times as fast as the treats came, such as 1x or 10x")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count what would be sent")
	flags.StringVar(&f.resume, "resume", "", "go on with a replay that was cut off, as its last line says")
	return cmd
}

func (p *program) replay(ctx context.Context, f *replayFlags) error {
	filter, err := f.filter(time.Now(), pipeline.OriginLive, pipeline.OriginBackfill)
	if err != nil {
		return err
	}
	if len(filter.Origins) == 0 {
		filter.Origins = []pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill}
	}
	switch {
	case f.sink == "":
		return usagef("relay replay wants --sink, the sink to send to; see relay replay --help")
	case f.since == "" && len(f.ids) == 0:
		return usagef("relay replay wants --since or --id; see relay replay --help")
	}
	speed, err := parseSpeed(f.speed)
	if err != nil {
		return err
	}
	at, err := parseCheckpoint(f.resume)
	if err != nil {
		return err
	}
	cfg, err := p.loadConfig(p.logger())
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
	runs := p.relayRuns(ctx)
	r := &replay{program: p, sink: sink.Name, filtered: sink.Lane.Filter != nil, flags: f, filter: filter, at: at, pacer: pacer{speed: speed}, progress: progress{w: p.err, shown: terminal(p.err)}}
	err = p.withJournal(ctx, func(j *journal.Journal) error {
		state, err := sinkReady(ctx, j, sink.Name)
		if err != nil {
			return err
		}
		r.disabled = !state.DisabledSince.IsZero()
		return r.run(ctx, j)
	})
	return r.close(err, runs)
}

// namedSink is the sink of that name.
func namedSink(cfg *Config, name string) (SinkConfig, error) {
	var names []string
	for _, s := range cfg.Sinks {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return SinkConfig{}, usagef("--sink %q: no sink of %s has this name; %s", name, cfg.Path, suggest(name, names))
}

// accountsOf are the accounts that were wanted, or all that the sink is sent.
func accountsOf(sink SinkConfig, wanted []string) ([]string, error) {
	taken := sink.Lane.Accounts
	if len(wanted) == 0 || len(taken) == 0 {
		return slices.Concat(wanted, taken), nil
	}
	for _, a := range wanted {
		if !slices.Contains(taken, a) {
			return nil, usagef("--account %s: sink %s is not sent this account; sinks.%s.accounts has [%s]", a, sink.Name, sink.Name, strings.Join(taken, ", "))
		}
	}
	return wanted, nil
}

// relayRuns reports whether a relay runs on the data folder.
func (p *program) relayRuns(ctx context.Context) bool {
	dir, err := p.dataPath()
	if err != nil {
		return false
	}
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only to see who answers
	return true
}

// sinkReady is the status of a sink that has its place in the journal. Before it has, what is put before it would not reach it.
func sinkReady(ctx context.Context, j *journal.Journal, name string) (query.SinkStatus, error) {
	all, err := query.Sinks(ctx, j, []string{name})
	if err != nil {
		return query.SinkStatus{}, err
	}
	for _, s := range all {
		if s.Sink == name && s.Opened {
			return s, nil
		}
	}
	return query.SinkStatus{}, withCode(exitUnavailable, fmt.Errorf("sink %s has never run, so it has no place in the journal yet: start relay with it once", name))
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

// parseSpeed reads a factor such as 10x. It is 0 for max.
func parseSpeed(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(text, "x")
	speed, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(speed >= 0.001 && speed <= 1e6) { // not a number fails both
		return 0, usagef("--speed %q: want max, or a factor such as 1x or 10x", text)
	}
	return speed, nil
}

// A checkpoint is where a replay stands: which run it is, the number in the journal up to which it has come, and that of its end. The
// run names what it sends, so that nothing is sent twice in one run.
type checkpoint struct {
	run        string
	last, done uint64
}

func (a checkpoint) String() string { return fmt.Sprintf("%s-%d-%d", a.run, a.last, a.done) }

var validCheckpoint = regexp.MustCompile(`^([0-9a-f]{16})-([1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$`)

// parseCheckpoint reads what --resume says. Without that it is the start of a new run.
func parseCheckpoint(text string) (at checkpoint, err error) {
	if text == "" {
		var run [8]byte
		_, _ = rand.Read(run[:]) // never fails
		return checkpoint{run: hex.EncodeToString(run[:])}, nil
	}
	m := validCheckpoint.FindStringSubmatch(text)
	if m == nil {
		return at, usagef("--resume %q: want what the replay that was cut off has printed", text)
	}
	at.run = m[1]
	at.last, _ = strconv.ParseUint(m[2], 10, 64) // so many digits always fit
	at.done, _ = strconv.ParseUint(m[3], 10, 64)
	return at, nil
}

// A replay is one under way.
type replay struct {
	*program
	sink     string
	flags    *replayFlags
	filter   query.EventFilter
	at       checkpoint
	pacer    pacer
	progress progress
	disabled bool
	filtered bool // the sink has a filter
	begun    bool
	n        int // sent
}

// run sends what is journaled by now.
func (r *replay) run(ctx context.Context, j *journal.Journal) (err error) {
	if r.at.last == 0 {
		if r.at.last, err = j.LastNumber(ctx); err != nil || r.at.last == 0 {
			return err
		}
	}
	r.filter.After, r.filter.Last, r.begun = r.at.done, r.at.last, true
	if r.flags.dryRun {
		return eachEvent(ctx, j, r.filter, func(e query.Event) error {
			r.n++
			return r.progress.show(r.n, e.Time)
		})
	}
	if beside, ok := j.Log().(*remote); ok && r.pacer.speed == 0 {
		return r.runBeside(ctx, beside)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	events := make(chan query.Event, replayBatch)
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() {
		if sendErr = r.send(ctx, j, events); sendErr != nil {
			stop(sendErr)
		}
	})
	err = eachEvent(ctx, j, r.filter, func(e query.Event) error {
		if err := r.pacer.wait(ctx, e.Time); err != nil {
			return err
		}
		select {
		case events <- e:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(events)
	sender.Wait()
	if sendErr != nil && !errors.Is(err, errSignal) {
		return sendErr
	}
	return err
}

// replayBatch is how many events go into one write, if so many wait.
const replayBatch = journal.MaxBatch

// send sends the events that come until there are no more, and notes how far it has come.
func (r *replay) send(ctx context.Context, j *journal.Journal, events <-chan query.Event) error {
	for first := range events {
		waiting, latest := []pipeline.Record{first.Record}, first.Time
		for more := true; more && len(waiting) < replayBatch; {
			select {
			case e, ok := <-events:
				if more = ok; ok {
					waiting, latest = append(waiting, e.Record), e.Time
				}
			default:
				more = false
			}
		}
		n, err := j.Replay(ctx, r.sink, r.at.run, waiting...)
		if n > 0 {
			r.at.done = waiting[n-1].Seq
			r.n += n
		}
		if err == nil {
			err = r.progress.show(r.n, latest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close says what became of the replay.
func (r *replay) close(err error, runs bool) error {
	if clearErr := r.progress.clear(); err == nil {
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
		return r.say("Nothing matched: there is no such event.")
	case err == nil && r.flags.dryRun:
		return r.say("Dry run, nothing was sent: %d %s for %s.", r.n, events, r.sink)
	case err == nil:
		return r.say("Sent %d %s to %s again.%s", r.n, events, r.sink, then)
	case !r.begun || r.flags.dryRun:
		return err
	}
	said := r.say("Sent %d %s to %s again, not all.%s To go on, within two hours: %s", r.n, events, r.sink, then, r.onward())
	if errors.Is(err, errSignal) {
		return errors.Join(errSilent, said)
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
			words = append(words, list.flag, shellQuote(v))
		}
	}
	if r.configPath != "" {
		words = append(words, "--config", shellQuote(r.configPath))
	}
	if r.dataDir != "" {
		words = append(words, "--data-dir", shellQuote(r.dataDir))
	}
	return strings.Join(words, " ")
}

// A pacer keeps the gaps between events, divided by its speed; with speed 0 it does not wait.
type pacer struct {
	speed         float64
	began         time.Time // when the first event was let through
	first, latest time.Time // times of events
}

// wait returns when the turn of an event of that time has come. One that is older than those before it does not wait.
func (p *pacer) wait(ctx context.Context, at time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p.speed == 0 {
		return nil
	}
	if p.began.IsZero() {
		p.began, p.first, p.latest = time.Now(), at, at
	}
	if at.After(p.latest) {
		p.latest = at
	}
	due := p.began.Add(time.Duration(float64(p.latest.Sub(p.first)) / p.speed))
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
