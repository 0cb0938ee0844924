//go:build unix

package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/internal/disktest"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

var errImpatient = errors.New("the caller has given up")

// While the disk is full everything waits, whoever has given up may try again, and with room each entry is there once and in order.
func TestJournalOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	r := newRig(t, t.TempDir())
	r.send("acc", 0, 10)
	r.count("relay_events_journaled_total", 10)
	room := disktest.Fill(t, 1)
	r.send("acc", 10, 20)
	r.eventually(func() error {
		h := r.Journal.Health()
		if h.FailingSince.IsZero() || h.Reason == "" || h.Waiting < 10 || h.LastMinute != 10 {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
	// One is in the failing batch, or behind it; its caller gives up and comes back.
	dead := func(ctx context.Context) error {
		return r.Journal.KeepDeadLetter(ctx, "bot", "no", 1, r.record(1))
	}
	for range 3 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errImpatient)
		if err := dead(ctx); !errors.Is(err, errImpatient) {
			t.Errorf("error %v, want %v", err, errImpatient)
		}
		cancel()
	}
	r.send("acc", 20, 30)
	if n := len(r.records()); n != 10 {
		t.Errorf("%d entries can be read, want 10", n)
	}
	room()
	if err := dead(t.Context()); err != nil {
		t.Error(err)
	}
	r.count("relay_events_journaled_total", 30)
	r.eventually(func() error {
		if h := r.Journal.Health(); !h.FailingSince.IsZero() || h.Waiting != 0 || h.Reason != "" {
			return fmt.Errorf("health %+v", h)
		}
		return nil
	})
	if diff := cmp.Diff(stacktest.Titles(0, 30), titlesOf(t, r.handed(""))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if n := len(r.records()); n != 31 {
		t.Errorf("%d entries, want 30 events and a dead letter", n)
	}
	r.letters(1, journal.DeadLetterFilter{})
	if got := r.Metric(r.t, "relay_journal_write_failures_total"); got == 0 {
		t.Error("no failure was counted")
	}
	if stuck := r.Journal.Stuck(); stuck > time.Minute {
		t.Errorf("stuck for %v", stuck)
	}
}

// A journal that is told to end while the disk is full says what it leaves, and lets nobody wait.
func TestJournalEndsOnAFullDisk(t *testing.T) {
	t.Parallel()
	if !disktest.InChild(t) {
		return
	}
	r := openRig(t, t.TempDir())
	r.put("acc", pipeline.OriginLive, time.Now(), 0)
	room := disktest.Fill(t, 1)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Journal.Run(ctx) }()
	r.send("acc", 1, 4)
	r.eventually(func() error {
		if r.Journal.Health().FailingSince.IsZero() {
			return errors.New("the limit has no effect")
		}
		return nil
	})
	var putters sync.WaitGroup
	for n := range 3 {
		putters.Go(func() {
			_, err := r.Journal.Put(t.Context(), journal.Entry{Kind: journal.Resend, ID: fmt.Sprint("r", n), Sink: "bot", EventID: "trt"})
			if err == nil {
				t.Error("an entry is written to a full disk")
			}
		})
	}
	cancel(errImpatient)
	if err := <-done; !errors.Is(err, errImpatient) || !strings.Contains(err.Error(), "left unwritten") {
		t.Errorf("error %v", err)
	}
	putters.Wait()
	room()
}
