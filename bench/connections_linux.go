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

// connections measures many idle connections, and how long all of them take to reconnect.
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
	r.text = fmt.Sprintf("relay with that many accounts, each with its login and its history, against as many connections of the official client in one Node process. One run each. "+
		"RSS and CPU (of one core) are from %v in which only heartbeats arrive. \"One more\" is what a row uses beyond the first, per connection. "+
		"\"Connected\" is the time from the start of the process until all are connected. \"Again\" is the same from the moment the server goes away; it restarts on its port at once. "+
		"relay's open files include those to the provider's hundred hosts.", idle)
	r.table.columns = []string{"", "connections", "RSS MiB", "KiB each", "KiB one more", "goroutines", "goroutines one more", "open files", "files one more", "CPU idle %", "connected s", "again s"}
	for _, c := range []idler{b.idleRelay(), b.idleNode()} {
		var least crowd
		for i, n := range sizes {
			got, err := b.crowd(ctx, c, n, idle)
			if err != nil {
				return nil, fmt.Errorf("measure %s with %d connections: %w", c.name, n, err)
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

// heartbeat is the server's pingInterval: every connection has one heartbeat in that time.
const heartbeat = 25 * time.Second

// An idler is a program that opens many connections.
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

// A crowd is the cost of many connections.
type crowd struct {
	cost
	goroutines       float64
	busy             float64 // the share of one core in use while idle
	connected, again time.Duration
}

// crowd measures one idler with n connections that are idle for that long.
func (b *bench) crowd(ctx context.Context, c idler, n int, idle time.Duration) (crowd, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 15*time.Minute, errors.New("no end within fifteen minutes"))
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
	time.Sleep(idle) // for one-time work after connecting: relay reads each history
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

// rest measures the processes while they are idle.
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
