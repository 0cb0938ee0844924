package slack

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/loopback"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/chattext"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// Reach connects to Slack without sending a request.
func (c *Config) Reach(ctx context.Context) (outbound.Reached, error) {
	return c.ReachWebhook(ctx, parseURL)
}

// Config configures a slack sink, which posts every event as a section in a message of an incoming webhook, up to ten in one message.
type Config struct {
	chat.Webhook `yaml:",inline"`
	// The text of a treat, in mrkdwn, see [below](#templates-of-discord-and-slack).
	//
	// Default: who sent what, and the message.
	//
	// Values are escaped.
	Template string `yaml:"template" value:"template"`
	// How long one request may take, from the name lookup to the end of the response.
	Timeout time.Duration `yaml:"timeout"`
}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return &Config{Timeout: chat.DefaultTimeout}
}

// Validate checks the values and returns all errors, joined. An error about one key is a [field.Error].
func (c *Config) Validate() error {
	errs := c.CheckWebhook(c.Timeout, parseURL)
	if c.Template != "" {
		_, err := chattext.NewTemplate(c.Template, maxSection, chattext.EscapeMrkdwn)
		errs = append(errs, field.Wrap("template", err))
	}
	return errors.Join(errs...)
}

// CheckFiles reads the files that the configuration names and returns all errors, joined. It opens no connection.
func (c *Config) CheckFiles() error { return c.CheckWebhookFile(parseURL) }

// Concurrency returns 1: the rate limit applies to the whole webhook.
func (*Config) Concurrency() int { return 1 }

// Open reads the file that the configuration names. It opens no connection.
func (c *Config) Open(_ context.Context, env chat.Env) (pipeline.Sink, error) {
	u, _, err := c.ReadWebhook(parseURL)
	if err != nil {
		return nil, err
	}
	s := &service{}
	if c.Template != "" {
		if s.template, err = chattext.NewTemplate(c.Template, maxSection, chattext.EscapeMrkdwn); err != nil {
			return nil, field.Wrap("template", err)
		}
	}
	return chat.New(u, c.Timeout, env, s), nil
}

// parseURL checks the URL of an incoming webhook of Slack, or of a stand-in on this machine. Its errors do not quote
// it.
func parseURL(text secret.String) (*url.URL, error) {
	u, err := outbound.ParseURL(text)
	if err != nil {
		return nil, err
	}
	path := regexp.MustCompile(`^/services/[A-Za-z0-9_]+/[A-Za-z0-9_]+/[A-Za-z0-9_]+$`)
	switch host := strings.ToLower(u.Hostname()); {
	case loopback.Is(host):
	case host != "hooks.slack.com" && host != "hooks.slack-gov.com":
		return nil, errors.New("is not at hooks.slack.com: copy it from the app's settings, Incoming Webhooks")
	case u.Scheme != "https" || u.Port() != "" || !path.MatchString(u.Path):
		return nil, errors.New("is not the URL of an incoming webhook, https://hooks.slack.com/services/T.../B.../TOKEN")
	}
	return u, nil
}
