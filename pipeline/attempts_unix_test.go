//go:build unix

package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/disktest"
)

// After a full disk the log of attempts comes back, also if nothing else is written, and what waited is in it once.
func TestAttemptsOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	const n = 500
	r := newRig(t, t.TempDir())
	var mu sync.Mutex
	var said bytes.Buffer
	l, err := OpenAttemptLog(t.Context(), JournalConfig{
		Conn: r.conn, Revive: r.journal.revive, Metrics: r.journal.metrics,
		Log: zerolog.New(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return said.Write(p)
		})),
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { l.Run(t.Context()) })
	defer running.Wait()
	defer l.Close()

	room := disktest.Fill(t, 64<<10)
	for range n {
		l.Add(Attempt{Sink: "bot", Events: []string{"trt_x"}, Error: strings.Repeat("e", 1000)})
	}
	r.eventually(func() error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(said.String(), "cannot be written now") {
			return errors.New("the limit has no effect")
		}
		return nil
	})
	room()
	r.eventually(func() error {
		got := 0
		for _, err := range r.journal.Attempts(t.Context(), "trt_x", time.Time{}) {
			if err != nil { // while the server is being started anew
				return err
			}
			got++
		}
		if got != n {
			return fmt.Errorf("%d attempts in the log, want %d", got, n)
		}
		return nil
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
