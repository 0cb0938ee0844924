package discord

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/internal/loopback"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/chattext"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// defaultColor is the color of the bar next to a treat.
const defaultColor = "#f7a440"

// Config configures a discord sink, which posts every event as an embed in a message of a Discord webhook, up to ten in one message.
type Config struct {
	chat.Webhook `yaml:",inline"`
	// The name to post under.
	//
	// Default: the webhook's.
	Username string `yaml:"username"`
	// The picture next to that name.
	//
	// Default: the webhook's.
	AvatarURL string `yaml:"avatar_url" value:"URL"`
	// A thread of the webhook's channel to post to.
	ThreadID string `yaml:"thread_id" value:"id"`
	// For a forum or media channel, instead of `thread_id`: relay starts a post of that name with its first message, and adds later messages to it.
	// At most 100 characters.
	ThreadName string `yaml:"thread_name"`
	// The color of the bar next to a treat. Needs quotes in YAML.
	Color string `yaml:"color"`
	// The text below the title, see [below](#templates-of-discord-and-slack).
	//
	// Default: the message.
	//
	// Values are escaped.
	Template string `yaml:"template" value:"template"`
	// Pictures by a word in the title, as in `{pizza: https://cdn.example/pizza.png}`. Case does not matter; the longest word wins.
	Thumbnails map[string]string `yaml:"thumbnails" value:"words with URLs"`
	// How long one request may take, from the name lookup to the end of the response.
	Timeout time.Duration `yaml:"timeout"`
}

// NewConfig returns the default configuration.
func NewConfig() *Config {
	return &Config{Color: defaultColor, Timeout: chat.DefaultTimeout}
}

// Validate checks the values and returns all errors, joined. An error about one key is a [field.Error].
func (c *Config) Validate() error {
	errs := c.CheckWebhook(c.Timeout, parseURL)
	errs = append(errs, field.Wrap("username", checkName(c.Username)))
	if c.AvatarURL != "" {
		errs = append(errs, field.Wrap("avatar_url", checkPicture(c.AvatarURL)))
	}
	if c.ThreadID != "" && !isSnowflake(c.ThreadID) {
		errs = append(errs, field.Wrap("thread_id", errors.New("is not an id: copy it from the thread's menu, with the developer mode of Discord on")))
	}
	errs = append(errs, c.checkThreadName())
	_, err := parseColor(c.Color)
	errs = append(errs, field.Wrap("color", err))
	if c.Template != "" {
		_, err := chattext.NewTemplate(c.Template, maxDescription, chattext.EscapeMarkdown)
		errs = append(errs, field.Wrap("template", err))
	}
	for _, word := range slices.Sorted(maps.Keys(c.Thumbnails)) {
		err := checkPicture(c.Thumbnails[word])
		if strings.TrimSpace(word) == "" {
			err = errors.New("the word is empty")
		}
		if err != nil {
			errs = append(errs, field.Wrap("thumbnails", fmt.Errorf("%q: %w", word, err)))
		}
	}
	return errors.Join(errs...)
}

// checkThreadName checks the name of a post against Discord's rules.
func (c *Config) checkThreadName() error {
	switch name := c.ThreadName; {
	case name == "":
		return nil
	case c.ThreadID != "":
		return field.Wrap("thread_name", errors.New("conflicts with thread_id: keep one of the two"))
	case displaytext.Clean(name, 1) == "":
		return field.Wrap("thread_name", errors.New("is empty: write a name, or leave the key out"))
	case chattext.Units(name) > 100:
		return field.Wrap("thread_name", errors.New("has more than the 100 characters that Discord takes"))
	}
	u, err := parseURL(c.URL)
	if err != nil { // reported for another key, or in a file
		return nil //nolint:nilerr // see above
	}
	return checkThreadURL(u)
}

// checkThreadURL rejects a thread in the URL if there is a name for one.
func checkThreadURL(u *url.URL) error {
	if u.Query().Get("thread_id") != "" {
		return field.Wrap("thread_name", errors.New("conflicts with a thread_id in the URL: keep one of the two"))
	}
	return nil
}

// CheckFiles reads the files that the configuration names and returns all errors, joined. It opens no connection.
func (c *Config) CheckFiles() error {
	return c.CheckWebhookFile(func(text secret.String) (*url.URL, error) {
		u, err := parseURL(text)
		if err == nil && c.ThreadName != "" {
			err = checkThreadURL(u)
		}
		return u, err
	})
}

// Concurrency returns 1: the rate limit applies to the whole webhook.
func (*Config) Concurrency() int { return 1 }

// Open reads the file that the configuration names. It opens no connection.
func (c *Config) Open(_ context.Context, env chat.Env) (pipeline.Sink, error) {
	u, _, err := c.ReadWebhook(parseURL)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	query.Set("wait", "true") // Discord then responds after it has posted the message, with any error.
	if c.ThreadID != "" {
		query.Set("thread_id", c.ThreadID)
	}
	if c.ThreadName != "" {
		if err := checkThreadURL(u); err != nil {
			return nil, err
		}
	}
	u.RawQuery = query.Encode()
	d := &service{username: c.Username, avatar: c.AvatarURL, threadName: displaytext.Clean(c.ThreadName, 1), thumbnails: c.Thumbnails}
	if d.color, err = parseColor(c.Color); err != nil {
		return nil, field.Wrap("color", err)
	}
	if c.Template != "" {
		if d.template, err = chattext.NewTemplate(c.Template, maxDescription, chattext.EscapeMarkdown); err != nil {
			return nil, field.Wrap("template", err)
		}
	}
	d.words = slices.SortedFunc(maps.Keys(c.Thumbnails), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return chat.New(u, c.Timeout, env, d), nil
}

// parseURL checks the URL of a Discord webhook, or of a stand-in on this machine. It sets version 10 of the API,
// because the default is an old version whose delays have another unit. Its errors do not quote the URL.
func parseURL(text secret.String) (*url.URL, error) {
	u, err := outbound.ParseURL(text)
	if err != nil {
		return nil, err
	}
	path := regexp.MustCompile(`^/api(?:/v[0-9]+)?(/webhooks/[0-9]+/[A-Za-z0-9_-]+)/?$`).FindStringSubmatch(u.Path)
	switch host := strings.ToLower(u.Hostname()); {
	case loopback.Is(host):
	case !slices.Contains([]string{"discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com", "ptb.discordapp.com", "canary.discordapp.com"}, host):
		return nil, errors.New("is not at discord.com: copy it from the channel's settings, Integrations, Webhooks")
	case u.Scheme != "https" || u.Port() != "":
		return nil, errors.New("does not begin with https://discord.com/: copy it from the channel's settings, Integrations, Webhooks")
	case path == nil:
		return nil, errors.New("is not the URL of a webhook, https://discord.com/api/webhooks/ID/TOKEN without anything behind it")
	}
	if path != nil {
		u.Path, u.RawPath = "/api/v10"+path[1], ""
	}
	return u, nil
}

// checkName checks the name of a webhook against Discord's rules ("Create Webhook").
func checkName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case chattext.Units(name) > 80:
		return errors.New("has more than the 80 characters that Discord takes")
	case strings.Contains(lower, "discord") || strings.Contains(lower, "clyde"):
		return errors.New(`is refused by Discord: no name may have "discord" or "clyde" in it`)
	case lower == "everyone" || lower == "here" || strings.ContainsAny(name, "@#:") || strings.Contains(name, "```"):
		return errors.New(`is refused by Discord: no name may be "everyone" or "here" or have @, #, : or three backticks in it`)
	}
	return nil
}

// checkPicture requires a URL that Discord can load.
func checkPicture(text string) error {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsFunc(text, unicode.IsSpace) || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(text) > 2048 {
		return errors.New("is not the URL of a picture, such as https://HOST/pizza.png")
	}
	return nil
}

// parseColor parses a web color, six hexadecimal digits.
func parseColor(text string) (int, error) {
	digits := strings.TrimPrefix(text, "#")
	n, err := strconv.ParseUint(digits, 16, 24)
	if err != nil || len(digits) != 6 {
		return 0, errors.New(`is not a color: write it as "#f7a440"`)
	}
	return int(n), nil
}
