// Command relay carries treats from TreatStream to overlays, bots and pipes. See README.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/cli"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

func main() {
	os.Exit(withSignals(func(ctx context.Context) int {
		return cli.Execute(ctx, os.Args[1:], state.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.LookupEnv})
	}))
}

// withSignals runs the program with a context that ends at the first SIGINT or SIGTERM. A second one, if it comes
// after [sameSignal], ends the process at once.
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
	return endedOrTold(code, got, cancel)
}

// sameSignal is for how long after the first signal another one is the same. timeout(1) and shells signal relay and then its process
// group, and some service managers signal every process of a service.
const sameSignal = time.Second

// endedOrTold returns the program's exit code. It calls cancel at the first signal, and does not wait for the program after the second.
func endedOrTold(code <-chan int, got <-chan os.Signal, cancel context.CancelCauseFunc) int {
	select {
	case c := <-code:
		return c
	case <-got:
		cancel(exit.ErrSignal)
	}
	for first := time.Now(); ; {
		select {
		case c := <-code:
			return c
		case <-got:
			if time.Since(first) < sameSignal {
				continue
			}
			_, _ = os.Stderr.WriteString("relay: second signal received: stopped at once; what was under way is delivered at the next start\n")
			return exit.Failure
		}
	}
}
