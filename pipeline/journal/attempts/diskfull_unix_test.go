//go:build unix

package attempts_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

// Once a full disk has room again, the attempts that waited are in the log exactly once, even if nothing else is written.
func TestAttemptsOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	const n = 500
	r := newRig(t)
	var mu sync.Mutex
	var said bytes.Buffer
	l, err := attempts.Open(t.Context(), attempts.Config{
		Log: r.Attempts, Metrics: r.Metrics,
		Logger: zerolog.New(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return said.Write(p)
		})),
	})
	if err != nil {
		t.Fatal(err)
	}
	room := disktest.Fill(t, 1)
	var running sync.WaitGroup
	running.Go(func() { l.Run(t.Context()) })
	defer running.Wait()
	defer l.Close()
	for i := range n {
		l.Add(pipeline.Attempt{Sink: "bot", Events: []string{"trt_x"}, Status: i, Error: strings.Repeat("e", 1000)})
	}
	stacktest.Eventually(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(said.String(), "cannot be written now") {
			return errors.New("the limit has no effect")
		}
		return nil
	})
	room()
	stacktest.Eventually(t, func() error {
		if got := len(r.attemptsOf("trt_x")); got != n {
			return fmt.Errorf("%d attempts in the log, want %d", got, n)
		}
		return nil
	})
	if got := r.Metric(t, "relay_attempts_dropped_total"); got != 0 {
		t.Errorf("%v attempts were dropped", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
