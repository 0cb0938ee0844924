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

// WebhookName requests the webhook from Discord ("Get Webhook with Token"), which posts and changes nothing, and
// returns its name. The error has no part of the URL except the host.
func (c *Config) WebhookName(ctx context.Context, userAgent string) (name string, err error) {
	u, _, err := c.ReadWebhook(parseURL)
	if err != nil {
		return "", err
	}
	client := chat.New(u, c.Timeout, chat.Env{UserAgent: userAgent}, &service{})
	defer client.Close() //nolint:errcheck // it only made one request
	err = client.GetWebhook(ctx, func(got chat.Answer) error {
		var webhook struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if json.Unmarshal(got.Body, &webhook) != nil || webhook.ID == "" {
			return errors.New("the answer is not a webhook's: check the URL")
		}
		name = client.Brief(webhook.Name)
		return nil
	})
	return name, err
}
