package webhook

import (
	"context"

	"github.com/treatrelay/relay/sinks/internal/check"
)

// Check connects to the receiver, or to its proxy, without sending a request.
func (c *Config) Check(ctx context.Context, _ check.Checkup) (check.Result, error) {
	reached, err := c.Reach(ctx)
	return check.Result{Reached: reached}, err
}

// TakesPing reports true: relay doctor --ping may send a test event, which a receiver can tell from a real one.
func (*Config) TakesPing() bool { return true }
