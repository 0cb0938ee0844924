package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/intake/index"
	journals "github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// growth measures the effect of a long journal on start, memory, replay and throughput.
func (b *bench) growth(ctx context.Context) ([]result, error) {
	sizes := []int{10_000, 1_000_000}
	switch {
	case b.smoke:
		sizes = []int{1000}
	case b.full:
		sizes = append(sizes, 5_000_000)
	}
	again := b.pick(growthReplayed, 200)
	published := b.pick(20_000, 300)
	r := result{name: "growth", title: "A journal that grows", chart: chart{unit: "start to first treat, ms"}}
	r.text = fmt.Sprintf("The journal was filled just before, so all its events are from the last ten minutes, for which relay counts the exact repeats at its start; "+
		"events of the receiving account are the worst case. Start and memory are medians of %d starts on one journal, from the start of the "+
		"process to the first treat on its stdout. Then, once each: `relay replay` of the first %s events to stdout at full speed, and %s treats to JetStream as fast as the server sends them.",
		b.runs, whole(again), whole(published))
	r.table.columns = []string{"events in the journal", "start to first treat ms", "RSS MiB", "replayed/s", "published/s"}
	journals := []journal{{name: "none"}}
	for _, n := range sizes {
		events := whole(n)
		journals = append(journals, journal{events + " of another account", n, "another"}, journal{events + " of the account that receives", n, "mystream"})
	}
	for _, j := range journals {
		g, err := b.grow(ctx, j, again, published)
		if err != nil {
			return nil, fmt.Errorf("measure a journal of %s: %w", j.name, err)
		}
		row := []string{j.name, milliseconds(g.start), mebibytes(g.rss), number(g.replayed), number(g.published)}
		if j.events == 0 {
			row[3] = "-"
		}
		b.say("  %q", row)
		r.table.add(row...)
		r.chart.bars = append(r.chart.bars, bar{j.name, inMilliseconds(g.start), true})
	}
	return []result{r}, nil
}

// growthReplayed bounds the replayed events.
const growthReplayed = 1_000_000

// A journal describes the journal that relay is started on.
type journal struct {
	name    string
	events  int
	account string // of the events
}

// grown is the performance of relay on such a journal.
type grown struct {
	start               time.Duration
	rss                 int64
	replayed, published float64 // per second
}

// grow fills a journal and measures relay on it. It replays again events, and then has relay receive published events.
func (b *bench) grow(ctx context.Context, j journal, again, published int) (grown, error) {
	var g grown
	r, err := b.prepare(ctx, b.provider.urls[0], setup{sinks: consoleSink}) // for the logins; each start has another server
	if err != nil {
		return g, err
	}
	dates, err := fill(ctx, filepath.Join(r.dir, "data"), j)
	if err != nil {
		return g, fmt.Errorf("fill the journal: %w", err)
	}
	var starts []time.Duration
	var sizes []int64
	for run := range b.runs {
		var events *tally
		if run == b.runs-1 && j.events > 0 {
			events = newTally(min(again, j.events))
		}
		f, err := b.startToFirst(ctx, setup{dir: r.dir}, events)
		if err != nil {
			return g, err
		}
		starts = append(starts, f.took)
		time.Sleep(settled)
		c, err := f.cost()
		sizes = append(sizes, c.rss)
		if err == nil && events != nil {
			g.replayed, err = b.replay(ctx, f.relay, events, dates(min(again, j.events)))
		}
		f.stop()
		if err != nil {
			return g, err
		}
	}
	g.start, g.rss = median(starts), median(sizes)
	m, err := b.measure(ctx, b.relayAs(sinkNATS, setup{dir: r.dir, sinks: "  overlay: {type: nats}"}), published, 0)
	g.published = m.rate
	return g, err
}

// replay replays the events of a running relay from before until, and returns how many arrive per second.
func (b *bench) replay(ctx context.Context, r *relay, events *tally, until time.Time) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("no end within two minutes"))
	defer cancel()
	p, err := start(ctx, "relay replay", nil, io.Discard, []string{"RELAY_IDENTITY_FILE=" + filepath.Join(r.dir, "identity.txt")}, b.relay, "replay", "--config", filepath.Join(r.dir, "relay.yaml"),
		"--data-dir", filepath.Join(r.dir, "data"), "--sink", "console", "--since", "24h", "--until", until.UTC().Format(time.RFC3339), "--speed", "max")
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := events.wait(ctx); err != nil {
		return 0, fmt.Errorf("%w; stderr of relay replay:\n%s\nstderr of relay:\n%s", err, p.stderr, r.stderr)
	}
	return events.rate(), nil
}

// fill writes the journal in the data folder of a relay that is not running. dates returns the time before which the
// first n events lie; n must be a multiple of 100.
func fill(ctx context.Context, dir string, j journal) (dates func(n int) time.Time, err error) {
	log, err := filelog.Open(ctx, filelog.Options{Dir: filepath.Join(dir, "journal"), Log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	state, err := statefile.Open(ctx, statefile.Options{Dir: filepath.Join(dir, "journal"), Log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	const kept = 35 * 24 * time.Hour
	known, err := index.Open(ctx, index.Config{Dir: filepath.Join(dir, "index"), Log: log, Retention: kept, Logger: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, known.Close()) }()
	metrics := pipeline.NewMetrics(prometheus.NewRegistry())
	opened, err := journals.Open(ctx, journals.Config{Log: log, State: state, Retention: kept, Committed: known.Committed, Logger: zerolog.Nop(), Metrics: metrics})
	if err != nil {
		return nil, err
	}
	written := make(chan error, 1)
	go func() { written <- opened.Run(ctx) }()
	const inOneSecond = 100 // few enough that all sizes fit into one day
	oldest := time.Now().UTC().Truncate(time.Second).Add(-time.Duration(j.events/inOneSecond+60) * time.Second)
	dates = func(n int) time.Time { return oldest.Add(time.Duration(n/inOneSecond) * time.Second) }
	in := intake.New(intake.Config{
		Normalizer: intake.Normalizer{Account: j.account, Provider: "treatstream", Location: time.UTC}, Journal: opened, Index: known, Logger: zerolog.Nop(), Metrics: metrics,
	})
	err = in.CatchUp(ctx)
	for n := 0; n < j.events && err == nil; n++ {
		err = in.Handle(ctx, []json.RawMessage{madeUp(n, dates(n))}, time.Now())
	}
	if err == nil {
		err = in.Flush(ctx)
	}
	opened.Close()
	return dates, errors.Join(err, <-written)
}

// madeUp returns a treat in the form in which the emitter sends it.
func madeUp(n int, at time.Time) json.RawMessage {
	return fmt.Appendf(nil, `{"sender":"GenerousViewer%d","sender_type":"twitch","receiver":"streamer","receiver_type":"twitch","title":"Large Pizza",`+
		`"message":"%d %d enjoy it, this was a great stream!","date_created":%q}`, n%997, n, at.UnixMicro(), at.Format(time.DateTime))
}
