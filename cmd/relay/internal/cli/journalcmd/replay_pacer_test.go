package journalcmd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A pacer keeps the intervals, divided by its speed. It does not wait for an event that is late, nor does it shorten later intervals.
func TestPacer(t *testing.T) {
	start := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for speed, want := range map[float64][]time.Duration{
		0:   {0, 0, 0, 0, 0},
		1:   {0, 10 * time.Second, 10 * time.Second, 10 * time.Second, time.Hour},
		10:  {0, time.Second, time.Second, time.Second, 6 * time.Minute},
		0.5: {0, 20 * time.Second, 20 * time.Second, 20 * time.Second, 2 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, p := time.Now(), pacer{speed: speed}
			for i, after := range []time.Duration{0, 10 * time.Second, 5 * time.Second, 10 * time.Second, time.Hour} {
				if err := p.wait(t.Context(), start.Add(after)); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(began); got != want[i] {
					t.Errorf("speed %v: event %d comes after %v, want %v", speed, i, got, want[i])
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(exit.ErrSignal) })
			if err := p.wait(ctx, start.Add(100*time.Hour)); speed > 0 && !errors.Is(err, exit.ErrSignal) {
				t.Errorf("speed %v: error %v", speed, err)
			}
			synctest.Wait()
			<-ctx.Done()
		})
	}
}

func TestSpeed(t *testing.T) {
	for text, want := range map[string]float64{"max": 0, "1x": 1, "10x": 10, "0.5x": 0.5} {
		if got, err := parseSpeed(text); err != nil || got != want {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "10", "-1x", "0x", "Infx", "NaNx", "1e300x", "maxx"} {
		if got, err := parseSpeed(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
