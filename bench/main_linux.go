// Command bench measures relay beside what a user would run instead, in the same run and on the same machine. Run it from a checkout,
// after npm ci --prefix bench/peers:
//
//	go run ./bench [-runs 5] [-only endtoend,latency] [-full] [-smoke]
//
// Each result goes to stdout as a table, and into bench/out as a table, as JSON and as a picture. Progress goes to stderr. See
// docs/performance.md for what was found.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A bench is what all parts of the benchmark share.
type bench struct {
	root  string // of the checkout
	peers string // bench/peers
	tmp   string
	node  string
	relay string // the binaries
	nats  string
	self  string

	provider *provider
	runs     int
	smoke    bool // only see that everything runs
	full     bool // the largest sizes too
}

// A part of the benchmark.
type part struct {
	name string
	run  func(*bench, context.Context) ([]result, error)
}

func parts() []part {
	return []part{
		{"machine", (*bench).machine},
		{"endtoend", (*bench).endToEnd},
		{"latency", (*bench).latency},
		{"fanout", (*bench).fanOut},
		{"fsync", (*bench).slowDisk},
		{"growth", (*bench).growth},
		{"accounts", (*bench).accounts},
		{"connections", (*bench).connections},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == twinCommand {
		err = twin(ctx, os.Args[2], os.Args[3])
	} else {
		err = benchmark(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err) //nolint:forbidigo // this is main
		os.Exit(1)                             //nolint:forbidigo // this is main
	}
}

// twinCommand makes this program the bare twin.
const twinCommand = "twin"

func benchmark(ctx context.Context) error {
	b := &bench{}
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	only := flag.String("only", strings.Join(names, ","), "run these parts")
	out := flag.String("out", "bench/out", "the folder for the results")
	flag.IntVar(&b.runs, "runs", 5, "how often to run each; the results are medians")
	flag.BoolVar(&b.smoke, "smoke", false, "only see that everything runs, with little load, once")
	flag.BoolVar(&b.full, "full", false, "the largest sizes too: a journal of 5 M events, 10,000 busy accounts")
	flag.Parse()
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no part is called %s: there are %s", name, strings.Join(names, ", "))
		}
	}
	if b.smoke {
		b.runs = 1
	}
	if err := raiseFiles(); err != nil {
		return err
	}
	if err := b.prepareAll(ctx); err != nil {
		return err
	}
	defer os.RemoveAll(b.tmp)                        //nolint:errcheck // a folder for what is temporary
	defer b.provider.Close()                         //nolint:errcheck // it ends with the program
	if err := os.MkdirAll(*out, 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	for _, p := range parts() {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		began := time.Now()
		b.say("%s", p.name)
		results, err := p.run(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, r := range results {
			if err := r.write(*out); err != nil {
				return err
			}
		}
		b.say("%s took %v", p.name, time.Since(began).Round(time.Second))
	}
	return nil
}

// say reports the progress.
func (*bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...)) //nolint:forbidigo // this is main
}

// raiseFiles lets this process, and those that it starts, open as many files as the system allows.
func raiseFiles() error {
	const many = 200_000 // for 10,000 connections, and what is done at once for each
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: many, Max: many}) == nil {
		return nil // who may do so
	}
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil {
		limit.Cur = limit.Max
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}

// prepareAll finds and builds what is run.
func (b *bench) prepareAll(ctx context.Context) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the checkout: %w", err)
	}
	b.root = filepath.Dir(strings.TrimSpace(string(mod)))
	b.peers = filepath.Join(b.root, "bench", "peers")
	if b.node, err = exec.LookPath("node"); err != nil {
		return errors.New("the server that the treats come from needs Node: install it")
	}
	if _, err := os.Stat(filepath.Join(b.peers, "node_modules", "socket.io")); err != nil {
		return errors.New("the peers are not installed: run npm ci --prefix bench/peers")
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.tmp, err = os.MkdirTemp("", "relay-bench"); err != nil {
		return err
	}
	b.relay, b.nats = filepath.Join(b.tmp, "relay"), filepath.Join(b.tmp, "nats-server")
	for at, pkg := range map[string]string{b.relay: "./cmd/relay", b.nats: "github.com/nats-io/nats-server/v2"} {
		if err := b.build(ctx, at, pkg); err != nil {
			return err
		}
	}
	b.provider, err = newProvider(ctx)
	return err
}

// build builds a program as it is released.
func (b *bench) build(ctx context.Context, at, pkg string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", at}, args, []string{pkg})...) //nolint:gosec // our own
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// pick is n, or few where this is only a smoke test.
func (b *bench) pick(n, few int) int {
	if b.smoke {
		return few
	}
	return n
}
