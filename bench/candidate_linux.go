package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The sinks of the comparison.
const (
	sinkNATS    = "NATS JetStream"
	sinkWebhook = "webhook"
	sinkStdout  = "stdout"
)

// A candidate is a program that takes treats from the socket to a sink.
type candidate struct {
	name string
	ours bool
	sink string
	// connections is the number of its connections, and copies how often it delivers each event. 0 means 1.
	connections, copies int
	// start starts it and makes t count its deliveries. It returns once the candidate is about to connect.
	start func(ctx context.Context, url string, t *tally) (*running, error)
}

// running is a candidate that was started.
type running struct {
	processes []*process // everything that a user has to run
	relay     *relay     // the first of them, if that is relay; otherwise nil
	stop      func()
}

// called returns the candidate with another name.
func (c candidate) called(name string) candidate {
	c.name = name
	return c
}

// blame adds the stderr of its processes to an error.
func (r *running) blame(err error) error {
	for _, p := range r.processes {
		err = fmt.Errorf("%w\nstderr of %s:\n%s", err, p.name, p.stderr)
	}
	return err
}

// webhookSecret signs webhook requests.
const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // a benchmark's

// relayTo returns relay with one sink. The configuration of a webhook has %q for its URL and %s for its secret.
func (b *bench) relayTo(sink string, config string) candidate {
	return b.relayAs(sink, setup{sinks: config})
}

// relayAs returns relay with one sink and the given setup.
func (b *bench) relayAs(sink string, s setup) candidate {
	return candidate{name: "relay", ours: true, sink: sink, connections: s.accounts, start: func(ctx context.Context, url string, t *tally) (*running, error) {
		run := &running{stop: func() {}}
		s := s // each run changes its own copy
		switch sink {
		case sinkWebhook:
			web, err := newReceiver(ctx)
			if err != nil {
				return nil, err
			}
			run.stop = web.stop
			s.sinks = fmt.Sprintf(s.sinks, web.at("/treats", t), webhookSecret)
		case sinkStdout:
			in, err := t.pipe()
			if err != nil {
				return nil, err
			}
			run.stop = func() { _ = in.Close() }
			s.stdout = in
		}
		r, err := b.startRelay(ctx, url, s)
		if err != nil {
			run.stop()
			return nil, err
		}
		also := run.stop
		run.relay, run.processes, run.stop = r, []*process{r.process}, func() { r.stop(); also(); _ = os.RemoveAll(r.dir) }
		if sink == sinkNATS {
			at, login, err := r.overlay(ctx)
			if err == nil {
				err = t.fromNATS(ctx, at, login)
			}
			if err != nil {
				run.stop()
				return nil, err
			}
		}
		return run, nil
	}}
}

// toNATS returns a program that publishes to its own NATS server.
func (b *bench) toNATS(name string, command func(url, nats string) []string) candidate {
	return candidate{name: name, sink: sinkNATS, start: func(ctx context.Context, url string, t *tally) (*running, error) {
		server, at, err := b.startNATS(ctx)
		if err != nil {
			return nil, err
		}
		run := &running{processes: []*process{server}, stop: server.stop}
		if err := t.fromNATS(ctx, at); err != nil {
			run.stop()
			return nil, err
		}
		p, err := start(ctx, name, nil, io.Discard, nil, command(url, at)...)
		if err != nil {
			run.stop()
			return nil, err
		}
		run.processes, run.stop = append(run.processes, p), func() { p.stop(); server.stop() }
		return run, nil
	}}
}

func (b *bench) nodeToNATS(inFlight int) candidate {
	return b.toNATS(fmt.Sprintf("Node, %d in flight", inFlight), func(url, nats string) []string {
		return []string{b.node, filepath.Join(b.peers, "jetstream.js"), url, nats, strconv.Itoa(inFlight)}
	})
}

func (b *bench) bareGoToNATS() candidate {
	return b.toNATS("bare Go, 256 in flight, no journal", func(url, nats string) []string { return []string{b.self, bareGoCommand, url, nats} })
}

func (b *bench) nodeToWebhook(way string, connections int) candidate {
	return candidate{name: fmt.Sprintf("Node, %s, %d at a time", way, connections), sink: sinkWebhook, start: func(ctx context.Context, url string, t *tally) (*running, error) {
		web, err := newReceiver(ctx)
		if err != nil {
			return nil, err
		}
		p, err := start(ctx, way, nil, io.Discard, nil, b.node, filepath.Join(b.peers, "post.js"), url, web.at("/treats", t), way, strconv.Itoa(connections))
		if err != nil {
			web.stop()
			return nil, err
		}
		return &running{processes: []*process{p}, stop: func() { p.stop(); web.stop() }}, nil
	}}
}

func (b *bench) nodeToStdout() candidate {
	return candidate{name: "Node", sink: sinkStdout, start: func(ctx context.Context, url string, t *tally) (*running, error) {
		in, err := t.pipe()
		if err != nil {
			return nil, err
		}
		p, err := start(ctx, "stdout.js", nil, in, nil, b.node, filepath.Join(b.peers, "stdout.js"), url)
		if err != nil {
			return nil, err
		}
		return &running{processes: []*process{p}, stop: func() { p.stop(); _ = in.Close() }}, nil
	}}
}

// startNATS runs a NATS server with JetStream and default settings.
func (b *bench) startNATS(ctx context.Context) (*process, string, error) {
	at, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, "", err
	}
	dir, err := os.MkdirTemp(b.tmp, "nats")
	if err != nil {
		return nil, "", err
	}
	p, err := start(ctx, "nats-server", nil, io.Discard, nil, b.nats, "-js", "-sd", dir, "-a", host, "-p", port)
	if err != nil {
		return nil, "", err
	}
	return p, "nats://" + at, p.await(ctx, "Server is ready")
}

// A measurement is the result of one run of a candidate. An event that is delivered to several sinks counts as several
// deliveries.
type measurement struct {
	rate    float64       // deliveries per second
	cpu     time.Duration // of all processes, per 1,000 deliveries
	byName  string        // the same for each process
	peak    int64
	quantil []time.Duration
	alloc   float64 // bytes per delivery; 0: unknown
	twice   int
}

// quantiles returns the quantiles of latency to report.
func quantiles() []float64 { return []float64{0.5, 0.99, 0.999, 1} }

// settled is the pause after connecting, so that the work of the start is not measured.
const settled = 500 * time.Millisecond

// measure measures a candidate with that many events, over all its connections together, at a rate per second; 0: as
// fast as possible.
func (b *bench) measure(ctx context.Context, c candidate, count, rate int) (measurement, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("no end within five minutes"))
	defer cancel()
	e, err := b.startEmitter(ctx, 0)
	if err != nil {
		return measurement{}, err
	}
	defer e.stop()
	connections, copies := max(c.connections, 1), max(c.copies, 1)
	count /= connections                           // per connection
	warm := max(min(count/5, 5000/connections), 1) // enough for buffers to grow and code to compile
	deliveries := count * connections * copies
	t := newTally(deliveries)
	heat := newTally(warm * connections * copies)
	t.before = heat
	run, err := c.start(ctx, e.url(), t)
	if err != nil {
		return measurement{}, err
	}
	defer run.stop()
	fail := func(err error) (measurement, error) {
		return measurement{}, run.blame(err)
	}
	if err := e.connections(ctx, connections, run.processes...); err != nil {
		return fail(err)
	}
	time.Sleep(settled)
	if err := errors.Join(e.emit(warm, rate), heat.wait(ctx)); err != nil {
		return fail(err)
	}
	var m measurement
	before := make([]cost, len(run.processes))
	for i, p := range run.processes {
		if before[i], err = p.cost(); err != nil {
			return fail(err)
		}
	}
	allocated := 0.0
	if run.relay != nil {
		if allocated, err = run.relay.metric(ctx, "go_memstats_alloc_bytes_total"); err != nil {
			return fail(err)
		}
	}
	if err := errors.Join(e.emit(count, rate), t.wait(ctx)); err != nil {
		return fail(err)
	}
	var shares []string
	for i, p := range run.processes {
		now, err := p.cost()
		if err != nil {
			return fail(err)
		}
		used := (now.cpu - before[i].cpu) * 1000 / time.Duration(deliveries)
		m.cpu += used
		m.peak += now.peak
		shares = append(shares, fmt.Sprintf("%s %s", p.name, milliseconds(used)))
	}
	m.byName = strings.Join(shares, ", ")
	if run.relay != nil {
		now, err := run.relay.metric(ctx, "go_memstats_alloc_bytes_total")
		if err != nil {
			return fail(err)
		}
		m.alloc = (now - allocated) / float64(deliveries)
	}
	m.rate, m.quantil, m.twice = t.rate(), t.quantiles(quantiles()...), t.twice
	return m, nil
}

// medians runs the candidates alternately, b.runs times, and returns the median of each figure.
func (b *bench) medians(ctx context.Context, candidates []candidate, count, rate int) ([]measurement, error) {
	all := make([][]measurement, len(candidates))
	for run := range b.runs {
		for i, c := range candidates {
			m, err := b.measure(ctx, c, count, rate)
			if err != nil {
				return nil, fmt.Errorf("%s to %s: %w", c.name, c.sink, err)
			}
			all[i] = append(all[i], m)
			b.say("  %d/%d %s to %s: %s/s, %s ms of CPU for 1,000 (%s), %s MiB, p50 %s ms, p99 %s ms, %s B/event", run+1, b.runs, c.name, c.sink, number(m.rate), milliseconds(m.cpu),
				m.byName, mebibytes(m.peak), milliseconds(m.quantil[0]), milliseconds(m.quantil[1]), number(m.alloc))
		}
	}
	mids := make([]measurement, len(candidates))
	for i, runs := range all {
		mids[i] = middle(runs)
	}
	return mids, nil
}

func middle(runs []measurement) measurement {
	m := measurement{
		rate: medianOf(runs, func(m measurement) float64 { return m.rate }), cpu: medianOf(runs, func(m measurement) time.Duration { return m.cpu }),
		peak: medianOf(runs, func(m measurement) int64 { return m.peak }), alloc: medianOf(runs, func(m measurement) float64 { return m.alloc }),
	}
	for i := range quantiles() {
		m.quantil = append(m.quantil, medianOf(runs, func(m measurement) time.Duration { return m.quantil[i] }))
	}
	for _, run := range runs {
		m.twice += run.twice
		if run.cpu == m.cpu {
			m.byName = run.byName
		}
	}
	return m
}
