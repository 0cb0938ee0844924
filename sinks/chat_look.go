package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Reach connects to Discord without sending a request.
func (c *DiscordConfig) Reach(ctx context.Context) (Reached, error) {
	return c.reachWebhook(ctx, parseDiscordURL)
}

// Reach connects to Slack without sending a request.
func (c *SlackConfig) Reach(ctx context.Context) (Reached, error) {
	return c.reachWebhook(ctx, parseSlackURL)
}

// Ask asks Discord for the webhook (Discord's documentation, "Get Webhook with Token"), which posts nothing and changes nothing.
// It returns the webhook's name. The error holds nothing of the URL but the host.
func (c *DiscordConfig) Ask(ctx context.Context, userAgent string) (name string, err error) {
	u, _, err := c.readWebhook(parseDiscordURL)
	if err != nil {
		return "", err
	}
	asking := newChat(u, c.Timeout, ChatEnv{UserAgent: userAgent}, &discord{})
	defer asking.Close() //nolint:errcheck // it was only to ask
	err = asking.ask(ctx, func(got chatAnswer) error {
		var webhook struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}
		if json.Unmarshal(got.body, &webhook) != nil || webhook.ID == "" {
			return errors.New("the answer is not a webhook's: check the URL")
		}
		name = asking.brief(webhook.Name)
		return nil
	})
	return name, err
}

// ask gets what the service answers to a request of the webhook itself, which posts nothing. It calls read with an answer that is no refusal.
func (c *chat) ask(ctx context.Context, read func(chatAnswer) error) error {
	explain := func(err error) error {
		return fmt.Errorf("ask %s for the webhook: %w", c.shown, redact(err, c.hidden))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return explain(unwrapURL(err))
	}
	req.Header.Set("User-Agent", c.env.UserAgent)
	resp, err := c.client.Do(req)
	if err != nil {
		return explain(root(cause(ctx, unwrapURL(err))))
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBody))
	if err != nil {
		return explain(root(cause(ctx, err)))
	}
	got := chatAnswer{status: resp.StatusCode, header: resp.Header, body: body, said: c.brief(string(body))}
	if err := c.service.judge(got); err != nil {
		return explain(err)
	}
	if err := read(got); err != nil {
		return explain(err)
	}
	return nil
}

// brief is the beginning of a text of the service on one line, without secrets.
func (c *chat) brief(text string) string { return shorten(printable([]byte(text), c.hidden)) }
