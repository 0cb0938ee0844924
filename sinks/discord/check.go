package discord

import (
	"context"
	"fmt"

	"github.com/treatrelay/relay/sinks/internal/check"
)

// Check connects to Discord and requests the webhook, which posts nothing.
func (c *Config) Check(ctx context.Context, of check.Checkup) (check.Result, error) {
	if _, err := c.Reach(ctx); err != nil {
		return check.Result{}, err
	}
	title, err := c.WebhookName(ctx, of.UserAgent)
	if err != nil {
		return check.Result{}, check.Fault(err, "make a new webhook in the settings of the channel and set sinks."+of.Name+".url")
	}
	return check.Result{Detail: fmt.Sprintf("Discord knows the webhook as %q", title)}, nil
}
