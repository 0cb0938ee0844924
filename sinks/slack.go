package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// SlackConfig configures a slack sink, which posts every treat to an incoming webhook of a Slack channel, up to ten in one
// message.
type SlackConfig struct {
	ChatWebhook `yaml:",inline"`
	// Template (yaml: template) is a Go template of the text of a treat, in Slack's mrkdwn. Its values are escaped.
	Template string `yaml:"template"`
	// Timeout (yaml: timeout) bounds one request, from the name lookup to the end of the answer, at least 100ms.
	// Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
}

// The limits of a message (Slack's documentation, "Blocks" and "Text object"). Texts count in [units].
const (
	maxSlackTreats   = 10   // of two blocks each; a message has 50
	maxSlackSection  = 3000 // text of a section
	maxSlackHeader   = 150
	maxSlackFallback = 3000 // text in a notification; Slack cuts off after 4,000
)

// NewSlackConfig returns a configuration with its defaults filled in.
func NewSlackConfig() *SlackConfig {
	return &SlackConfig{Timeout: DefaultChatTimeout}
}

// Validate implements [Config].
func (c *SlackConfig) Validate() error {
	errs := c.checkWebhook(c.Timeout, parseSlackURL)
	if c.Template != "" {
		_, err := newTextTemplate(c.Template, maxSlackSection, escapeMrkdwn)
		errs = append(errs, field("template", err))
	}
	return errors.Join(errs...)
}

// CheckFiles implements [Config].
func (c *SlackConfig) CheckFiles() error { return c.checkWebhookFile(parseSlackURL) }

// Concurrency implements [Config].
func (*SlackConfig) Concurrency() int { return 1 }

// Open reads the file the configuration names and connects to nothing.
func (c *SlackConfig) Open(_ context.Context, env ChatEnv) (pipeline.Sink, error) {
	u, _, err := c.readWebhook(parseSlackURL)
	if err != nil {
		return nil, err
	}
	s := &slack{}
	if c.Template != "" {
		if s.template, err = newTextTemplate(c.Template, maxSlackSection, escapeMrkdwn); err != nil {
			return nil, field("template", err)
		}
	}
	return newChat(u, c.Timeout, env, s), nil
}

// parseSlackURL checks the URL of an incoming webhook of Slack, or of a stand-in on this machine. Its errors do not quote it.
func parseSlackURL(text secret.String) (*url.URL, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	path := regexp.MustCompile(`^/services/[A-Za-z0-9_]+/[A-Za-z0-9_]+/[A-Za-z0-9_]+$`)
	switch host := strings.ToLower(u.Hostname()); {
	case isLoopback(host):
	case host != "hooks.slack.com" && host != "hooks.slack-gov.com":
		return nil, errors.New("is not at hooks.slack.com: copy it from the app's settings, Incoming Webhooks")
	case u.Scheme != "https" || u.Port() != "" || !path.MatchString(u.Path):
		return nil, errors.New("is not the URL of an incoming webhook, https://hooks.slack.com/services/T.../B.../TOKEN")
	}
	return u, nil
}

// slack is the [messenger] of a slack sink.
type slack struct {
	template *textTemplate // nil: who sent what, and the message
}

type slackMessage struct {
	Text        string       `json:"text"` // in notifications, instead of the blocks
	Blocks      []slackBlock `json:"blocks"`
	UnfurlLinks bool         `json:"unfurl_links"`
	UnfurlMedia bool         `json:"unfurl_media"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackText struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"` // makes no links of addresses and names
}

func mrkdwn(text string) slackText { return slackText{Type: "mrkdwn", Text: text, Verbatim: true} }

func section(text string) slackBlock {
	t := mrkdwn(text)
	return slackBlock{Type: "section", Text: &t}
}

// contextBlock is small print.
func contextBlock(when time.Time, note string) slackBlock {
	var parts []string
	if !when.IsZero() {
		parts = append(parts, fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", when.Unix(), when.UTC().Format("2006-01-02 15:04 UTC")))
	}
	if note != "" {
		parts = append(parts, escapeMrkdwn(note))
	}
	if len(parts) == 0 {
		parts = []string{"relay"}
	}
	return slackBlock{Type: "context", Elements: []slackText{mrkdwn(strings.Join(parts, " · "))}}
}

// compose implements [messenger]. Treats, alerts and digests do not share a message.
func (s *slack) compose(records []pipeline.Record) ([]byte, int, error) {
	var m slackMessage
	var lines []string
	n := 0
	for i, r := range records {
		if i == maxSlackTreats || kindOf(r) != kindOf(records[0]) {
			break
		}
		line, blocks, err := s.blocks(r)
		if err != nil {
			if i == 0 {
				return nil, 0, err
			}
			break // It is the first of a later message.
		}
		lines = append(lines, fit(line, maxSlackFallback/maxSlackTreats-1, escapeMrkdwn))
		m.Blocks = append(m.Blocks, blocks...)
		n++
	}
	m.Text = strings.Join(lines, "\n")
	body, err := json.Marshal(m)
	return body, n, err
}

// blocks returns what shows one record, and the same as one clean line.
func (s *slack) blocks(r pipeline.Record) (line string, blocks []slackBlock, err error) {
	switch kindOf(r) {
	case pipeline.AlertType:
		return alertBlocks(r)
	case pipeline.DigestType:
		return digestBlocks(r)
	}
	t, err := newTreatText(r)
	if err != nil {
		return "", nil, err
	}
	title := t.Title
	if title == "" {
		title = "a treat"
	}
	line = t.by() + " sent " + title
	text := "*" + bold(t.by()) + "* sent *" + bold(title) + "*"
	if t.Message != "" {
		line += ": " + t.Message
		text += "\n" + fit(t.Message, maxSlackSection-units(text)-1, escapeMrkdwn)
	}
	if s.template != nil {
		if text, err = s.template.text(t); err != nil {
			return "", nil, fmt.Errorf("template: %w", err)
		}
		if text == "" { // Slack takes no empty section.
			text = bold(title)
		}
	}
	return clean(line, 1), []slackBlock{section(text), contextBlock(t.Time, t.note())}, nil
}

// bold escapes what stands between two asterisks of markup, which are none beside white space.
func bold(text string) string { return strings.TrimSpace(escapeMrkdwn(text)) }

// alertBlocks is plainly not a treat: it has a header with a coloured dot, and says what to do.
func alertBlocks(r pipeline.Record) (line string, blocks []slackBlock, err error) {
	a, err := r.Alert()
	if err != nil {
		return "", nil, err
	}
	dot := "🟠"
	switch a.Data.Kind {
	case pipeline.AlertDisabled, pipeline.AlertDeadLetter:
		dot = "🔴"
	case pipeline.AlertRecovered:
		dot = "🟢"
	}
	title := dot + " " + alertTitle(a.Data)
	blocks = []slackBlock{{Type: "header", Text: &slackText{Type: "plain_text", Text: fit(title, maxSlackHeader, verbatim)}}}
	reason, hint := clean(a.Data.Reason, maxLines), clean(a.Data.Hint, maxLines)
	if reason != "" {
		blocks = append(blocks, section(fit(reason, maxSlackSection, escapeMrkdwn)))
	}
	if hint != "" {
		blocks = append(blocks, section("*What to do:* "+fit(hint, maxSlackSection-20, escapeMrkdwn)))
	}
	return clean(title+": "+reason, 1), append(blocks, contextBlock(a.Time, "relay")), nil
}

// What a word of Slack is about.
const (
	slackOther   = iota // what the webhook may do, or nobody knows
	slackGone           // the webhook, or what it posts to, is there no more
	slackContent        // the message
)

func aboutSlack(word string) int {
	switch word {
	case "no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "channel_not_found", "channel_is_archived",
		"user_not_found":
		return slackGone
	case "invalid_payload", "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "no_text", "msg_too_long", "msg_blocks_too_long",
		"too_many_attachments":
		return slackContent
	}
	return slackOther
}

// judge implements [messenger]. Slack answers with a word in plain text ("Sending messages using incoming webhooks").
func (s *slack) judge(got chatAnswer) error {
	const hint = "make a new incoming webhook in the settings of the app"
	if got.status/100 != 4 || got.status == http.StatusTooManyRequests {
		return judgeStatus(got, hint)
	}
	word := slackWord(got.body)
	about := aboutSlack(word)
	code := strings.TrimSpace(fmt.Sprintf("%d %s", got.status, word))
	err := got.refusal()
	switch {
	case got.status == http.StatusGone, about == slackGone:
		return pipeline.Gone(fmt.Errorf("%w; %s", err, hint))
	case about == slackContent:
		return pipeline.WithRefusalCode(code, pipeline.Permanent(err))
	case got.status == http.StatusUnauthorized, got.status == http.StatusNotFound:
		return sinkRefusal(got, code, fmt.Errorf("%w; it is not an answer of Slack's webhooks: if it stays, %s", err, hint))
	}
	return pipeline.WithRefusalCode(code, judgeStatus(got, hint))
}

// slackWord is the word of an answer, or "" if it is none: another than Slack has answered.
func slackWord(body []byte) string {
	word := strings.TrimSpace(string(body))
	if len(word) > 64 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return word
}

// address implements [messenger].
func (s *slack) address(webhook string) string { return webhook }

// pace implements [messenger]. Slack takes about a message a second and says no more of it until it refuses one with the
// delay it wants.
func (s *slack) pace(chatAnswer) time.Duration { return 0 }
