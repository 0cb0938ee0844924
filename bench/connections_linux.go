package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"
)

// connections has many connections stand idle, and then has all of them come again.
func (b *bench) connections(ctx context.Context) ([]result, error) {
	sizes := []int{100, 1000, 5000, 10_000}
	if b.smoke {
		sizes = []int{10, 20}
	}
	idle := heartbeat
	if b.smoke {
		idle = time.Second
	}
	r := result{name: "connections", title: "Idle accounts", chart: chart{unit: "RSS in MiB"}}
	r.text = fmt.Sprintf("relay with so many accounts, each with its login and its history, against so many connections of the official client in one Node process. One run each. RSS and CPU "+
		"(of one core) are those of %v in which nothing but heartbeats comes. One more takes what a row has beyond the first, for each connection. Connected is the time from the start of the process until all "+
		"are; again is the same from the moment when the server has gone away: it is started again on its port at once.", idle)
	r.table.columns = []string{"", "connections", "RSS MiB", "KiB each", "KiB one more", "goroutines", "goroutines one more", "open files", "files one more", "CPU idle %", "connected s", "again s"}
	for _, c := range []idler{b.idleRelay(), b.idleNode()} {
		var least crowd
		for i, n := range sizes {
			got, err := b.crowd(ctx, c, n, idle)
			if err != nil {
				return nil, fmt.Errorf("%s with %d connections: %w", c.name, n, err)
			}
			if i == 0 {
				least = got
			}
			more := func(now, before float64) string {
				if i == 0 || now == 0 {
					return "-"
				}
				return number((now - before) / float64(n-sizes[0]))
			}
			routines := "-"
			if got.goroutines > 0 {
				routines = whole(int(got.goroutines))
			}
			row := []string{
				c.name, whole(n), mebibytes(got.rss), number(kibibytes(got.rss) / float64(n)), more(kibibytes(got.rss), kibibytes(least.rss)),
				routines, more(got.goroutines, least.goroutines), whole(got.fds), more(float64(got.fds), float64(least.fds)),
				number(got.busy * 100), seconds(got.connected), seconds(got.again),
			}
			b.say("  %q", row)
			r.table.add(row...)
			r.chart.bars = append(r.chart.bars, bar{c.name + ", " + whole(n), float64(got.rss) / (1 << 20), c.ours})
		}
	}
	return []result{r}, nil
}

func kibibytes(bytes int64) float64 { return float64(bytes) / 1024 }

func seconds(d time.Duration) string { return number(d.Seconds()) }

// heartbeat is the server's pingInterval: in that time every connection has one.
const heartbeat = 25 * time.Second

// An idler is a program that opens so many connections.
type idler struct {
	name  string
	ours  bool
	start func(ctx context.Context, url string, n int) (*running, error)
}

func (b *bench) idleRelay() idler {
	return idler{name: "relay", ours: true, start: func(ctx context.Context, url string, n int) (*running, error) {
		r, err := b.startRelay(ctx, url, setup{accounts: n, sinks: consoleSink})
		if err != nil {
			return nil, err
		}
		return &running{relay: r, processes: []*process{r.process}, stop: r.stop}, nil
	}}
}

func (b *bench) idleNode() idler {
	return idler{name: "Node", start: func(ctx context.Context, url string, n int) (*running, error) {
		p, err := start(ctx, "idle.js", nil, io.Discard, nil, b.node, filepath.Join(b.peers, "idle.js"), url, strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		return &running{processes: []*process{p}, stop: p.stop}, nil
	}}
}

// A crowd is what many connections cost.
type crowd struct {
	cost
	goroutines       float64
	busy             float64 // the share of one core that is in use while nothing comes
	connected, again time.Duration
}

// crowd measures one idler with n connections, which are left alone for as long as idle says.
func (b *bench) crowd(ctx context.Context, c idler, n int, idle time.Duration) (crowd, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Minute, errors.New("fifteen minutes are over"))
	defer cancel()
	var got crowd
	e, err := b.startEmitter(ctx, 0)
	if err != nil {
		return got, err
	}
	defer e.stop()
	run, err := c.start(ctx, e.url(), n)
	if err != nil {
		return got, err
	}
	defer run.stop()
	if err := e.connections(ctx, n, run.processes...); err != nil {
		return got, run.blame(err)
	}
	got.connected = time.Since(run.processes[0].began)
	time.Sleep(idle) // for what is done once after connecting: relay looks at each history
	if err := got.rest(ctx, run, idle); err != nil {
		return got, run.blame(err)
	}
	e.stop()
	gone := time.Now()
	restarted, err := b.startEmitter(ctx, e.port)
	if err != nil {
		return got, err
	}
	defer restarted.stop()
	if err := restarted.connections(ctx, n, run.processes...); err != nil {
		return got, run.blame(err)
	}
	got.again = time.Since(gone)
	return got, nil
}

// rest watches the processes for a while.
func (c *crowd) rest(ctx context.Context, run *running, idle time.Duration) error {
	before, err := costs(run.processes...)
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.cost, err = costs(run.processes...); err != nil {
		return err
	}
	c.busy = (c.cpu - before.cpu).Seconds() / time.Since(began).Seconds()
	if run.relay != nil {
		c.goroutines, err = run.relay.metric(ctx, "go_goroutines")
	}
	return err
}
