package webhook

import (
	"context"

	"github.com/treatrelay/relay/sinks/internal/check"
)

// Check connects to the receiver, or to the proxy that leads there, without sending a request.
func (c *Config) Check(ctx context.Context, _ check.Checkup) (check.Result, error) {
	reached, err := c.Reach(ctx)
	return check.Result{Reached: reached}, err
}

// TakesPing reports that a receiver can tell a test treat, which is delivered as any event is, from a treat.
func (*Config) TakesPing() bool { return true }
