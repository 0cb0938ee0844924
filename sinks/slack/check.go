package slack

import (
	"context"

	"github.com/treatrelay/relay/sinks/internal/check"
)

// Check connects to Slack without sending a request, because every request posts something.
func (c *Config) Check(ctx context.Context, _ check.Checkup) (check.Result, error) {
	reached, err := c.Reach(ctx)
	return check.Result{Reached: reached, Note: "whether Slack knows the webhook shows only with a message"}, err
}
