package journalcmd

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// A pacer keeps the gaps between events, divided by its speed; with speed 0 it does not wait.
type pacer struct {
	speed         float64
	began         time.Time // when the first event was let through
	first, latest time.Time // times of events
}

// wait returns when the turn of an event of that time has come. One that is older than those before it does not wait.
func (p *pacer) wait(ctx context.Context, at time.Time) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p.speed == 0 {
		return nil
	}
	if p.began.IsZero() {
		p.began, p.first, p.latest = time.Now(), at, at
	}
	if at.After(p.latest) {
		p.latest = at
	}
	due := p.began.Add(time.Duration(float64(p.latest.Sub(p.first)) / p.speed))
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// parseSpeed reads a factor such as 10x. It is 0 for max.
func parseSpeed(text string) (float64, error) {
	if text == "max" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(text, "x")
	speed, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(speed >= 0.001 && speed <= 1e6) { // not a number fails both
		return 0, exit.Usagef("--speed %q: want max, or a factor such as 1x or 10x", text)
	}
	return speed, nil
}
