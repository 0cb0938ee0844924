package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// machine describes this machine and its limits, and measures how fast relay starts on it.
func (b *bench) machine(ctx context.Context) ([]result, error) {
	facts, err := b.facts(ctx)
	if err != nil {
		return nil, err
	}
	limits, err := b.limits(ctx)
	if err != nil {
		return nil, err
	}
	starts, err := b.starts(ctx)
	if err != nil {
		return nil, err
	}
	return []result{facts, limits, starts}, nil
}

func (b *bench) facts(ctx context.Context) (result, error) {
	r := result{name: "machine", title: "The machine", text: "All results of this run are from this machine. Ratios within a run say more than any single figure."}
	r.table.columns = []string{"", "value"}
	cpu, err := factIn("/proc/cpuinfo", "model name")
	if err != nil {
		return r, err
	}
	memory, err := factIn("/proc/meminfo", "MemTotal")
	if err != nil {
		return r, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return r, err
	}
	disk, err := fileSystem(b.tmp)
	if err != nil {
		return r, err
	}
	node, err := exec.CommandContext(ctx, b.node, "--version").Output() //nolint:gosec // found on the PATH
	if err != nil {
		return r, fmt.Errorf("ask Node for its version: %w", err)
	}
	r.table.add("CPU", cpu)
	r.table.add("cores", strconv.Itoa(runtime.NumCPU()))
	r.table.add("memory", memory)
	r.table.add("kernel", strings.TrimSpace(string(kernel))+" "+runtime.GOARCH)
	r.table.add("file system of the journals", disk)
	r.table.add("Go", runtime.Version())
	r.table.add("Node", strings.TrimSpace(string(node)))
	r.table.add("date", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	return r, nil
}

// factIn returns the value of a name in a file of /proc. Not every architecture has every name.
func factIn(path, name string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // of /proc
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "unknown", nil
}

// fileSystem returns the type of the file system that holds a path.
func fileSystem(path string) (string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	kind, longest := "unknown", 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // proc_pid_mounts(5): device, mount point, type
		if len(fields) < 3 || len(fields[1]) < longest {
			continue
		}
		if at := fields[1]; at == "/" || path == at || strings.HasPrefix(path, at+"/") {
			kind, longest = fields[2], len(at)
		}
	}
	return kind, nil
}

// A limit is an operation, and how often it can be done per second.
type limit struct {
	name    string
	measure func(context.Context) (float64, error)
}

// limits measures rates that no program on this machine can exceed.
func (b *bench) limits(ctx context.Context) (result, error) {
	r := result{name: "limits", title: "Limits of the machine", chart: chart{unit: "a second"}, text: fmt.Sprintf("What the building blocks of all candidates can do, including "+
		"the other side, which runs on the same cores. Medians of %d runs.", b.runs)}
	r.table.columns = []string{"", "a second", "lowest", "highest"}
	for _, l := range []limit{
		{"WebSocket frames that a bare Go program reads", b.frames},
		{"JetStream publishes acknowledged, 256 in flight", b.publishes},
		{"net/http POSTs, 1 connection", func(ctx context.Context) (float64, error) { return b.posts(ctx, 1) }},
		{"net/http POSTs, 16 connections", func(ctx context.Context) (float64, error) { return b.posts(ctx, 16) }},
		{"appends of 4 KiB to a file, with fsync", b.fsyncs},
	} {
		var values []float64
		for range b.runs {
			v, err := l.measure(ctx)
			if err != nil {
				return r, fmt.Errorf("%s: %w", l.name, err)
			}
			values = append(values, v)
		}
		mid := median(values)
		b.say("  %s: %s a second", l.name, number(mid))
		r.table.add(l.name, number(mid), number(slices.Min(values)), number(slices.Max(values)))
		r.chart.bars = append(r.chart.bars, bar{label: l.name, value: mid})
	}
	return r, nil
}

// frames returns how many treats per second the bare Go program reads from the socket without processing them.
func (b *bench) frames(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no end within a minute"))
	defer cancel()
	e, err := b.startEmitter(ctx, 0)
	if err != nil {
		return 0, err
	}
	defer e.stop()
	p, err := start(ctx, "the bare reader", nil, io.Discard, nil, b.self, bareGoCommand, e.url(), "")
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := e.connections(ctx, 1); err != nil {
		return 0, err
	}
	count := b.pick(200_000, 3*framesEvery)
	if err := errors.Join(e.emit(count, 0), p.awaitTimes(ctx, framesText, (count-1)/framesEvery)); err != nil {
		return 0, err
	}
	said := p.stderr.String()
	return strconv.ParseFloat(strings.TrimSpace(said[strings.LastIndex(said, framesText)+len(framesText):]), 64)
}

// publishes returns how many messages per second a NATS server acknowledges. With its default settings it does not wait
// for the disk.
func (b *bench) publishes(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no end within a minute"))
	defer cancel()
	server, at, err := b.startNATS(ctx)
	if err != nil {
		return 0, err
	}
	defer server.stop()
	nc, err := nats.Connect(at)
	if err != nil {
		return 0, fmt.Errorf("connect to %s: %w", at, err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(256))
	if err != nil {
		return 0, err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}}); err != nil {
		return 0, fmt.Errorf("create a stream: %w", err)
	}
	count, message, began := b.pick(100_000, 2000), make([]byte, 500), time.Now()
	for range count {
		if _, err := js.PublishAsync("treats.treatstream.mystream", message, jetstream.WithStallWait(time.Minute)); err != nil {
			return 0, fmt.Errorf("publish: %w", err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return rate(count, began), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the acknowledgements: %w", context.Cause(ctx))
	}
}

func rate(count int, began time.Time) float64 { return float64(count) / time.Since(began).Seconds() }

// posts returns how many requests per second the receiver answers.
func (b *bench) posts(ctx context.Context, connections int) (float64, error) {
	web, err := newReceiver(ctx)
	if err != nil {
		return 0, err
	}
	defer web.stop()
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	count := b.pick(40_000, 500)
	var taken atomic.Int64
	var work sync.WaitGroup
	errs := make([]error, connections)
	began := time.Now()
	for n := range errs {
		work.Go(func() {
			for errs[n] == nil && taken.Add(1) <= int64(count) {
				errs[n] = post(ctx, &http.Client{Transport: transport}, web.url+"/limit")
			}
		})
	}
	work.Wait()
	return rate(count, began), errors.Join(errs...)
}

func post(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(make([]byte, 500)))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// fsyncs returns how many successive appends per second reach the disk.
func (b *bench) fsyncs(context.Context) (float64, error) {
	f, err := os.CreateTemp(b.tmp, "fsync")
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // nobody reads it
	count, page, began := b.pick(5000, 100), make([]byte, 4096), time.Now()
	for range count {
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return rate(count, began), nil
}

// starts measures the size of relay and how fast it starts.
func (b *bench) starts(ctx context.Context) (result, error) {
	r := result{name: "start", title: "Size and start of relay", chart: chart{unit: "ms"}}
	r.table.columns = []string{"", "value"}
	binary, err := os.Stat(b.relay)
	if err != nil {
		return r, err
	}
	times := b.pick(20, 3)
	var versions, firsts []time.Duration
	for range times {
		began := time.Now()
		if err := exec.CommandContext(ctx, b.relay, "version").Run(); err != nil { //nolint:gosec // built by this program
			return r, fmt.Errorf("run relay version: %w", err)
		}
		versions = append(versions, time.Since(began))
	}
	for range b.runs {
		f, err := b.startToFirst(ctx, setup{}, nil)
		if err != nil {
			return r, err
		}
		firsts = append(firsts, f.took)
		f.stop()
		if err := os.RemoveAll(f.dir); err != nil {
			return r, err
		}
	}
	r.text = fmt.Sprintf("The binary is stripped, as released. `relay version` is the median of %d runs, from the start of the process to its end. The first treat is the median "+
		"of %d starts with an empty journal, from the start of the process to the treat on its stdout. The server sends it as soon as relay is connected.", times, b.runs)
	version, treat := median(versions), median(firsts)
	r.table.add(filepath.Base(b.relay)+", the binary", mebibytes(binary.Size())+" MiB")
	r.table.add("relay version", milliseconds(version)+" ms")
	r.table.add("start to first treat", milliseconds(treat)+" ms")
	r.chart.bars = []bar{{"relay version", inMilliseconds(version), true}, {"start to first treat", inMilliseconds(treat), true}}
	return r, nil
}
