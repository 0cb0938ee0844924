// Command relay carries treats from TreatStream to overlays, bots and pipes. See README.md.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(withSignals(func(ctx context.Context) int {
		return execute(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.LookupEnv})
	}))
}

var (
	errSignal       = errors.New("signal received")
	errSecondSignal = errors.New("second signal received")
)

// withSignals runs the program with a context that ends at the first SIGINT or SIGTERM. The second one ends the process
// at once.
func withSignals(program func(context.Context) int) int {
	// The Socket.IO package under socket takes these signals for itself when it is imported, and so would swallow the
	// first one.
	signal.Reset(os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	// Without this, a write to a closed pipe on stdout kills the process instead of failing.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	code := make(chan int, 1)
	go func() { code <- program(ctx) }()
	select {
	case c := <-code:
		return c
	case <-got:
		cancel(errSignal)
	}
	select {
	case c := <-code:
		return c
	case <-got:
		_, _ = os.Stderr.WriteString("relay: " + errSecondSignal.Error() + ": stopped at once; what was under way is delivered at the next start\n")
		return exitFailure
	}
}
