package daemon

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// Nothing is said while the journal's writer is stuck, and then again.
func TestWatchdogWhileTheJournalIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		stuck := func() time.Duration { // from the minute 1 to the minute 5
			if since := time.Since(began) - time.Minute; since > 0 && since < 4*time.Minute {
				return since
			}
			return 0
		}
		var minutes []float64
		var log strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute-time.Second)
		defer cancel()
		watchdog(ctx, time.Minute, stuck, func() { minutes = append(minutes, time.Since(began).Minutes()) }, zerolog.New(&log))
		if got, want := fmt.Sprint(minutes), "[0 0.5 1 1.5 2 5 5.5]"; got != want {
			t.Errorf("alive in the minutes %s, want %s", got, want)
		}
		if n := strings.Count(log.String(), "is stuck"); n != 1 {
			t.Errorf("told %d times:\n%s", n, log.String())
		}
	})
}
