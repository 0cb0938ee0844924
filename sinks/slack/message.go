package slack

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/chattext"
)

// Limits of a message (Slack's documentation, "Blocks" and "Text object"). Texts are measured in [chattext.Units].
const (
	maxTreats   = 10   // of two blocks each; a message has 50
	maxSection  = 3000 // text of a section
	maxHeader   = 150
	maxFallback = 3000 // text in a notification; Slack truncates at 4,000
)

// service is the [chat.Service] of a slack sink.
type service struct {
	template *chattext.Template // nil means sender, title and message
}

type message struct {
	Text        string  `json:"text"` // in notifications, instead of the blocks
	Blocks      []block `json:"blocks"`
	UnfurlLinks bool    `json:"unfurl_links"`
	UnfurlMedia bool    `json:"unfurl_media"`
}

type block struct {
	Type     string       `json:"type"`
	Text     *textObject  `json:"text,omitempty"`
	Elements []textObject `json:"elements,omitempty"`
}

type textObject struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"` // turns no addresses and names into links
}

func mrkdwn(text string) textObject { return textObject{Type: "mrkdwn", Text: text, Verbatim: true} }

func section(text string) block {
	t := mrkdwn(text)
	return block{Type: "section", Text: &t}
}

// contextBlock returns a block of small print.
func contextBlock(when time.Time, note string) block {
	var parts []string
	if !when.IsZero() {
		parts = append(parts, fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", when.Unix(), when.UTC().Format("2006-01-02 15:04 UTC")))
	}
	if note != "" {
		parts = append(parts, chattext.EscapeMrkdwn(note))
	}
	if len(parts) == 0 {
		parts = []string{"relay"}
	}
	return block{Type: "context", Elements: []textObject{mrkdwn(strings.Join(parts, " · "))}}
}

// Compose implements [chat.Service]. Treats, alerts and digests do not share a message.
func (s *service) Compose(records []pipeline.Record) ([]byte, int, error) {
	var m message
	var lines []string
	n := 0
	for i, r := range records {
		if i == maxTreats || chattext.KindOf(r) != chattext.KindOf(records[0]) {
			break
		}
		line, blocks, err := s.blocks(r)
		if err != nil {
			if i == 0 {
				return nil, 0, err
			}
			break // it fails when it is the first of a message
		}
		lines = append(lines, chattext.Fit(line, maxFallback/maxTreats-1, chattext.EscapeMrkdwn))
		m.Blocks = append(m.Blocks, blocks...)
		n++
	}
	m.Text = strings.Join(lines, "\n")
	body, err := json.Marshal(m)
	return body, n, err
}

// blocks returns the blocks of one record, and the same content as one clean line.
func (s *service) blocks(r pipeline.Record) (line string, blocks []block, err error) {
	switch chattext.KindOf(r) {
	case pipeline.AlertType:
		return alertBlocks(r)
	case pipeline.DigestType:
		return digestBlocks(r)
	}
	t, err := chattext.NewTreat(r)
	if err != nil {
		return "", nil, err
	}
	title := t.Title
	if title == "" {
		title = "a treat"
	}
	line = t.By() + " sent " + title
	text := "*" + bold(t.By()) + "* sent *" + bold(title) + "*"
	if t.Message != "" {
		line += ": " + t.Message
		text += "\n" + chattext.Fit(t.Message, maxSection-chattext.Units(text)-1, chattext.EscapeMrkdwn)
	}
	if s.template != nil {
		if text, err = s.template.Render(t); err != nil {
			return "", nil, fmt.Errorf("template: %w", err)
		}
		if text == "" { // Slack rejects an empty section
			text = bold(title)
		}
	}
	return displaytext.Clean(line, 1), []block{section(text), contextBlock(t.Time, t.Note())}, nil
}

// bold escapes text between two asterisks. They are no markup next to white space, so it trims the text.
func bold(text string) string { return strings.TrimSpace(chattext.EscapeMrkdwn(text)) }

// alertBlocks is clearly not a treat: it has a header with a colored dot, and says what to do.
func alertBlocks(r pipeline.Record) (line string, blocks []block, err error) {
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
	title := dot + " " + chattext.AlertTitle(a.Data)
	blocks = []block{{Type: "header", Text: &textObject{Type: "plain_text", Text: chattext.Fit(title, maxHeader, chattext.Verbatim)}}}
	reason, hint := displaytext.Clean(a.Data.Reason, chattext.MaxLines), displaytext.Clean(a.Data.Hint, chattext.MaxLines)
	if reason != "" {
		blocks = append(blocks, section(chattext.Fit(reason, maxSection, chattext.EscapeMrkdwn)))
	}
	if hint != "" {
		blocks = append(blocks, section("*What to do:* "+chattext.Fit(hint, maxSection-20, chattext.EscapeMrkdwn)))
	}
	return displaytext.Clean(title+": "+reason, 1), append(blocks, contextBlock(a.Time, "relay")), nil
}

// Address implements [chat.Service].
func (s *service) Address(webhook string) string { return webhook }

// Pace implements [chat.Service]. Slack accepts about one message a second, and announces its limit only when it
// refuses a message, with the time to wait.
func (s *service) Pace(chat.Answer) time.Duration { return 0 }

// digestBlocks returns the blocks of a digest, and the same content as one clean line.
func digestBlocks(r pipeline.Record) (line string, blocks []block, err error) {
	t, err := chattext.NewDigest(r)
	if err != nil {
		return "", nil, err
	}
	line = t.Treats + chattext.Missed + " (" + t.Span + ")"
	text := "*" + t.Treats + "*" + chattext.Missed + " (" + t.Span + ")"
	if t.What != "" {
		line += ": " + t.What
		text += ": " + chattext.Fit(t.What, maxSection-chattext.Units(text)-2, chattext.EscapeMrkdwn)
	}
	return displaytext.Clean(line, 1), []block{section(text), contextBlock(t.Time, t.Note)}, nil
}
