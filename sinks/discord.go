package sinks

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

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// DefaultDiscordColor is the colour of the bar beside a treat.
const DefaultDiscordColor = "#f7a440"

// DiscordConfig configures a discord sink, which posts every treat as an embed to a webhook of a Discord channel, up to ten
// in one message.
type DiscordConfig struct {
	ChatWebhook `yaml:",inline"`
	// Username (yaml: username) and AvatarURL (yaml: avatar_url) stand in for those of the webhook.
	Username  string `yaml:"username"`
	AvatarURL string `yaml:"avatar_url"`
	// ThreadID (yaml: thread_id) is the id of a thread in the webhook's channel to post to.
	ThreadID string `yaml:"thread_id"`
	// ThreadName (yaml: thread_name) is what a forum or media channel wants instead: relay begins a post of that name with its first message,
	// and puts those that follow into it. At most 100 characters.
	ThreadName string `yaml:"thread_name"`
	// Color (yaml: color) is the colour of the bar beside a treat, as in #f7a440.
	Color string `yaml:"color"`
	// Template (yaml: template) is a Go template of the text beneath the title. Its values are escaped.
	Template string `yaml:"template"`
	// Thumbnails (yaml: thumbnails) are the URLs of pictures by a word in the title of a treat, in lower or upper case. The
	// longest word that occurs wins.
	Thumbnails map[string]string `yaml:"thumbnails"`
	// Timeout (yaml: timeout) bounds one request, from the name lookup to the end of the answer, at least 100ms.
	// Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
}

// NewDiscordConfig returns a configuration with its defaults filled in.
func NewDiscordConfig() *DiscordConfig {
	return &DiscordConfig{Color: DefaultDiscordColor, Timeout: DefaultChatTimeout}
}

// Validate implements [Config].
func (c *DiscordConfig) Validate() error {
	errs := c.checkWebhook(c.Timeout, parseDiscordURL)
	errs = append(errs, field("username", checkDiscordName(c.Username)))
	if c.AvatarURL != "" {
		errs = append(errs, field("avatar_url", checkPicture(c.AvatarURL)))
	}
	if c.ThreadID != "" && !isSnowflake(c.ThreadID) {
		errs = append(errs, field("thread_id", errors.New("is not an id: copy it from the thread's menu, with the developer mode of Discord on")))
	}
	errs = append(errs, c.checkThreadName())
	_, err := parseColor(c.Color)
	errs = append(errs, field("color", err))
	if c.Template != "" {
		_, err := newTextTemplate(c.Template, maxDescription, escapeMarkdown)
		errs = append(errs, field("template", err))
	}
	for _, word := range slices.Sorted(maps.Keys(c.Thumbnails)) {
		err := checkPicture(c.Thumbnails[word])
		if strings.TrimSpace(word) == "" {
			err = errors.New("the word is empty")
		}
		if err != nil {
			errs = append(errs, field("thumbnails", fmt.Errorf("%q: %w", word, err)))
		}
	}
	return errors.Join(errs...)
}

// checkThreadName holds the name of a post to Discord's rules.
func (c *DiscordConfig) checkThreadName() error {
	switch name := c.ThreadName; {
	case name == "":
		return nil
	case c.ThreadID != "":
		return field("thread_name", errors.New("is set besides thread_id: keep one of the two"))
	case clean(name, 1) == "":
		return field("thread_name", errors.New("is empty: write a name, or leave the key out"))
	case units(name) > 100:
		return field("thread_name", errors.New("has more than the 100 characters that Discord takes"))
	}
	u, err := parseDiscordURL(c.URL)
	if err != nil { // it is another key's fault, or in a file
		return nil //nolint:nilerr // see above
	}
	return checkThreadURL(u)
}

// checkThreadURL refuses a thread in the URL besides a name for one.
func checkThreadURL(u *url.URL) error {
	if u.Query().Get("thread_id") != "" {
		return field("thread_name", errors.New("is set besides a thread_id in the URL: keep one of the two"))
	}
	return nil
}

// CheckFiles implements [Config].
func (c *DiscordConfig) CheckFiles() error {
	return c.checkWebhookFile(func(text secret.String) (*url.URL, error) {
		u, err := parseDiscordURL(text)
		if err == nil && c.ThreadName != "" {
			err = checkThreadURL(u)
		}
		return u, err
	})
}

// Concurrency implements [Config].
func (*DiscordConfig) Concurrency() int { return 1 }

// Open reads the file the configuration names and connects to nothing.
func (c *DiscordConfig) Open(_ context.Context, env ChatEnv) (pipeline.Sink, error) {
	u, _, err := c.readWebhook(parseDiscordURL)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	query.Set("wait", "true") // Discord answers when the message is posted, and with what is wrong with it.
	if c.ThreadID != "" {
		query.Set("thread_id", c.ThreadID)
	}
	if c.ThreadName != "" {
		if err := checkThreadURL(u); err != nil {
			return nil, err
		}
	}
	u.RawQuery = query.Encode()
	d := &discord{username: c.Username, avatar: c.AvatarURL, threadName: clean(c.ThreadName, 1), thumbnails: c.Thumbnails}
	if d.color, err = parseColor(c.Color); err != nil {
		return nil, field("color", err)
	}
	if c.Template != "" {
		if d.template, err = newTextTemplate(c.Template, maxDescription, escapeMarkdown); err != nil {
			return nil, field("template", err)
		}
	}
	d.words = slices.SortedFunc(maps.Keys(c.Thumbnails), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return newChat(u, c.Timeout, env, d), nil
}

// parseDiscordURL checks the URL of a webhook of Discord, or of a stand-in on this machine. It names version 10 of the API: the
// one without a name is an old one, which tells its delays in other units. Its errors do not quote the URL.
func parseDiscordURL(text secret.String) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	path := regexp.MustCompile(`^/api(?:/v[0-9]+)?(/webhooks/[0-9]+/[A-Za-z0-9_-]+)/?$`).FindStringSubmatch(u.Path)
	switch host := strings.ToLower(u.Hostname()); {
	case isLoopback(host):
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

// checkDiscordName holds the name of a webhook to Discord's rules ("Create Webhook").
func checkDiscordName(name string) error {
	lower := strings.ToLower(name)
	switch {
	case units(name) > 80:
		return errors.New("has more than the 80 characters that Discord takes")
	case strings.Contains(lower, "discord") || strings.Contains(lower, "clyde"):
		return errors.New(`is refused by Discord: no name may have "discord" or "clyde" in it`)
	case lower == "everyone" || lower == "here" || strings.ContainsAny(name, "@#:") || strings.Contains(name, "```"):
		return errors.New(`is refused by Discord: no name may be "everyone" or "here" or have @, #, : or three backticks in it`)
	}
	return nil
}

// checkPicture wants a URL that Discord can load.
func checkPicture(text string) error {
	u, err := url.Parse(text)
	if err != nil || strings.ContainsFunc(text, unicode.IsSpace) || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || len(text) > 2048 {
		return errors.New("is not the URL of a picture, such as https://HOST/pizza.png")
	}
	return nil
}

// parseColor reads a colour of the web, six hexadecimal digits.
func parseColor(text string) (int, error) {
	digits := strings.TrimPrefix(text, "#")
	n, err := strconv.ParseUint(digits, 16, 24)
	if err != nil || len(digits) != 6 {
		return 0, errors.New(`is not a colour: write it as "#f7a440"`)
	}
	return int(n), nil
}
