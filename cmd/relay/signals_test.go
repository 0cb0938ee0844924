package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A signal that arrives twice within a second counts once: timeout(1) sends it to relay and to its process group.
func TestSecondSignal(t *testing.T) {
	for _, test := range []struct {
		name string
		at   []time.Duration // of the signals
		ends time.Duration   // of the program, when it is told to
		want int
	}{
		{"one", []time.Duration{0}, 5 * time.Second, exit.OK},
		{"twice at once", []time.Duration{0, 0}, 5 * time.Second, exit.OK},
		{"three times within a second", []time.Duration{0, time.Millisecond, 999 * time.Millisecond}, 5 * time.Second, exit.OK},
		{"again after a second", []time.Duration{0, time.Millisecond, time.Second}, 5 * time.Second, exit.Failure},
		{"again later", []time.Duration{0, 4 * time.Second}, 5 * time.Second, exit.Failure},
		{"after the end", []time.Duration{0, 6 * time.Second}, 5 * time.Second, exit.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				got, code := make(chan os.Signal, 2), make(chan int, 1)
				go func() {
					<-ctx.Done()
					time.Sleep(test.ends)
					code <- exit.OK
				}()
				for _, at := range test.at {
					time.AfterFunc(at, func() { got <- syscall.SIGTERM })
				}
				if c := endedOrTold(code, got, cancel); c != test.want {
					t.Errorf("exit code %d, want %d", c, test.want)
				}
				if !errors.Is(context.Cause(ctx), exit.ErrSignal) {
					t.Errorf("the program was not told: %v", context.Cause(ctx))
				}
				time.Sleep(10 * time.Second) // until the program has ended and the signals are sent
			})
		})
	}
}
