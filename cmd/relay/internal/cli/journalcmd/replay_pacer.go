package journalcmd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A pacer keeps the intervals between events, divided by its speed. With speed 0 it never waits.
type pacer struct {
	speed         float64
	started       time.Time // when the first event was due
	first, latest time.Time // times of events
}

// wait waits until an event of that time is due. An event that is older than an earlier one is due at once.
func (p *pacer) wait(ctx context.Context, at time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p.speed == 0 {
		return nil
	}
	if p.started.IsZero() {
		p.started, p.first, p.latest = time.Now(), at, at
	}
	if at.After(p.latest) {
		p.latest = at
	}
	due := p.started.Add(time.Duration(float64(p.latest.Sub(p.first)) / p.speed))
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// parseSpeed parses a factor such as 10x. It returns 0 for max.
func parseSpeed(value string) (float64, error) {
	if value == "max" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(value, "x")
	speed, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(speed >= 0.001 && speed <= 1e6) { // the comparison is false for NaN
		return 0, exit.Usagef("--speed %q: want max, or a factor such as 1x or 10x", value)
	}
	return speed, nil
}
