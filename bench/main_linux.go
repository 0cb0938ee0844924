// Command bench compares relay with what a user would run instead, in the same run and on the same machine. It measures
// the released program from outside, through its socket and its sinks, and imports packages of relay only to prepare
// logins and journals. Run it from a checkout, after npm ci --prefix bench/peers:
//
//	go run ./bench [-runs 5] [-only endtoend,latency] [-full] [-smoke]
//
// Each result goes to stdout as a table, and to bench/out as a table, JSON and an SVG chart. Progress goes to stderr.
// docs/performance.md has the results, with the same captions.
//
// Start reading at parts, which lists the parts of the benchmark. candidate_linux.go describes what is compared,
// process_linux.go runs and measures processes, and tally_linux.go counts the events that arrive.
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

// A bench is the state that all parts of the benchmark share.
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
	smoke    bool // only check that everything runs
	full     bool // include the largest sizes
}

// A part is a part of the benchmark.
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
	if len(os.Args) > 1 && os.Args[1] == bareGoCommand {
		err = bareGo(ctx, os.Args[2], os.Args[3])
	} else {
		err = benchmark(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err) //nolint:forbidigo // this is main
		os.Exit(1)                             //nolint:forbidigo // this is main
	}
}

// bareGoCommand is the argument that makes this program run as the bare Go candidate.
const bareGoCommand = "bare-go"

func benchmark(ctx context.Context) error {
	b := &bench{}
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	only := flag.String("only", strings.Join(names, ","), "comma-separated list of the parts to run")
	out := flag.String("out", "bench/out", "folder for the results")
	flag.IntVar(&b.runs, "runs", 5, "number of runs of each measurement; results are medians")
	flag.BoolVar(&b.smoke, "smoke", false, "only check that everything runs: little load, one run")
	flag.BoolVar(&b.full, "full", false, "include the largest sizes: a journal of 5 M events, 10,000 busy accounts")
	flag.Parse()
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown part %s: choose from %s", name, strings.Join(names, ", "))
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
	defer os.RemoveAll(b.tmp)                        //nolint:errcheck // a temporary folder
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

// say logs progress to stderr.
func (*bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...)) //nolint:forbidigo // this is main
}

// raiseFiles raises the limit of open files for this process and its children as far as the system allows.
func raiseFiles() error {
	const many = 200_000 // for 10,000 connections with several files each
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: many, Max: many}) == nil {
		return nil // permitted to raise it beyond the hard limit
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

// prepareAll finds or builds all programs.
func (b *bench) prepareAll(ctx context.Context) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("find the checkout: %w", err)
	}
	b.root = filepath.Dir(strings.TrimSpace(string(mod)))
	b.peers = filepath.Join(b.root, "bench", "peers")
	if b.node, err = exec.LookPath("node"); err != nil {
		return errors.New("the server that sends the treats needs Node: install it")
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

// build builds a program with the flags of a release.
func (b *bench) build(ctx context.Context, at, pkg string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", at}, args, []string{pkg})...) //nolint:gosec // our own program
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// pick returns n, or few in a smoke test.
func (b *bench) pick(n, few int) int {
	if b.smoke {
		return few
	}
	return n
}
