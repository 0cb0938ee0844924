package discord

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// Reach connects to Discord without sending a request.
func (c *Config) Reach(ctx context.Context) (outbound.Reached, error) {
	return c.ReachWebhook(ctx, parseURL)
}

// Ask asks Discord for the webhook (Discord's documentation, "Get Webhook with Token"), which posts nothing and changes nothing.
// It returns the webhook's name. The error holds nothing of the URL but the host.
func (c *Config) Ask(ctx context.Context, userAgent string) (name string, err error) {
	u, _, err := c.ReadWebhook(parseURL)
	if err != nil {
		return "", err
	}
	asking := chat.New(u, c.Timeout, chat.Env{UserAgent: userAgent}, &service{})
	defer asking.Close() //nolint:errcheck // it was only to ask
	err = asking.Ask(ctx, func(got chat.Answer) error {
		var webhook struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if json.Unmarshal(got.Body, &webhook) != nil || webhook.ID == "" {
			return errors.New("the answer is not a webhook's: check the URL")
		}
		name = asking.Brief(webhook.Name)
		return nil
	})
	return name, err
}
