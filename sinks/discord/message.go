package discord

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chattext"
)

// Limits of a message (Discord's documentation, "Execute Webhook" and "Embed Limits"). Texts are measured in [chattext.Units].
const (
	maxEmbeds           = 10
	maxEmbedsTotal      = 6000 // over all embeds: title, description, names and values of fields, footer, author
	maxEmbedTitle       = 256
	maxDescription      = 4096
	maxPlainDescription = 2000 // of a description without a template
	maxFieldValue       = 1024
)

// Colors of alerts.
const (
	colorRed   = 0xd83c3e
	colorAmber = 0xf0b232
	colorGreen = 0x23a55a
)

// service is the [chat.Service] of a discord sink.
type service struct {
	username, avatar string
	threadName       string // of the post in a forum channel, which the first message creates
	color            int
	template         *chattext.Template // nil means the message of the treat
	thumbnails       map[string]string
	words            []string // the keys of thumbnails, the longest first

	thread string    // ID of the open thread; if empty, the next message opens one
	left   int       // requests left in the rate limit bucket
	reset  time.Time // when the bucket is full again, by the monotonic clock
}

// message is the body of Execute Webhook.
type message struct {
	Username  string `json:"username,omitempty"`
	AvatarURL string `json:"avatar_url,omitempty"`
	// ThreadName opens a thread of that name with the message.
	ThreadName string  `json:"thread_name,omitempty"`
	Embeds     []embed `json:"embeds"`
	// AllowedMentions is always {"parse": []}: no text notifies anybody.
	AllowedMentions struct {
		Parse []string `json:"parse"`
	} `json:"allowed_mentions"`
}

type embed struct {
	Title       string       `json:"title,omitempty"`
	Description string       `json:"description,omitempty"`
	Color       int          `json:"color"`
	Timestamp   *time.Time   `json:"timestamp,omitempty"`
	Author      *embedAuthor `json:"author,omitempty"`
	Thumbnail   *embedImage  `json:"thumbnail,omitempty"`
	Fields      []embedField `json:"fields,omitempty"`
	Footer      *embedFooter `json:"footer,omitempty"`
}

type (
	embedAuthor struct {
		Name string `json:"name"`
	}
	embedImage struct {
		URL string `json:"url"`
	}
	embedField struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	embedFooter struct {
		Text string `json:"text"`
	}
)

// size returns how much an embed adds to the total of its message.
func (e embed) size() int {
	n := chattext.Units(e.Title) + chattext.Units(e.Description)
	if e.Author != nil {
		n += chattext.Units(e.Author.Name)
	}
	for _, f := range e.Fields {
		n += chattext.Units(f.Name) + chattext.Units(f.Value)
	}
	if e.Footer != nil {
		n += chattext.Units(e.Footer.Text)
	}
	return n
}

// Compose implements [chat.Service]. Treats, alerts and digests do not share a message.
func (s *service) Compose(records []pipeline.Record) ([]byte, int, error) {
	m := message{Username: s.username, AvatarURL: s.avatar}
	if s.thread == "" {
		m.ThreadName = s.threadName
	}
	m.AllowedMentions.Parse = []string{}
	total := 0
	for i, r := range records {
		if i == maxEmbeds || chattext.KindOf(r) != chattext.KindOf(records[0]) {
			break
		}
		e, err := s.embed(r)
		if err != nil {
			if i == 0 {
				return nil, 0, err
			}
			break // it fails when it is the first of a message
		}
		if total += e.size(); i > 0 && total > maxEmbedsTotal {
			break
		}
		m.Embeds = append(m.Embeds, e)
	}
	body, err := json.Marshal(m)
	return body, len(m.Embeds), err
}

func (s *service) embed(r pipeline.Record) (embed, error) {
	switch chattext.KindOf(r) {
	case pipeline.AlertType:
		return alertEmbed(r)
	case pipeline.DigestType:
		return s.digestEmbed(r)
	}
	t, err := chattext.NewTreat(r)
	if err != nil {
		return embed{}, err
	}
	title := t.Title
	if title == "" {
		title = "A treat"
	}
	e := embed{
		Title: chattext.Fit(title, maxEmbedTitle, chattext.EscapeMarkdown), Color: s.color,
		// Discord renders no markup in the author and the footer.
		Author: &embedAuthor{Name: t.By() + " sent a treat"},
	}
	if s.template == nil {
		e.Description = chattext.Fit(t.Message, maxPlainDescription, chattext.EscapeMarkdown)
	} else if e.Description, err = s.template.Render(t); err != nil {
		return embed{}, fmt.Errorf("template: %w", err)
	}
	if !t.Time.IsZero() {
		when := t.Time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	if note := t.Note(); note != "" {
		e.Footer = &embedFooter{Text: note}
	}
	lower := strings.ToLower(t.Title)
	for _, word := range s.words {
		if strings.Contains(lower, strings.ToLower(word)) {
			e.Thumbnail = &embedImage{URL: s.thumbnails[word]}
			break
		}
	}
	return e, nil
}

// alertEmbed is clearly not a treat: it has the color of its severity and says what to do.
func alertEmbed(r pipeline.Record) (embed, error) {
	a, err := r.Alert()
	if err != nil {
		return embed{}, err
	}
	title, color := chattext.AlertTitle(a.Data), colorAmber
	switch a.Data.Kind {
	case pipeline.AlertDisabled, pipeline.AlertDeadLetter:
		color = colorRed
	case pipeline.AlertRecovered:
		color = colorGreen
	}
	e := embed{
		Title: chattext.Fit(title, maxEmbedTitle, chattext.EscapeMarkdown), Color: color,
		Description: chattext.Fit(displaytext.Clean(a.Data.Reason, chattext.MaxLines), maxPlainDescription, chattext.EscapeMarkdown),
		Footer:      &embedFooter{Text: "relay"},
	}
	if hint := displaytext.Clean(a.Data.Hint, chattext.MaxLines); hint != "" {
		e.Fields = []embedField{{Name: "What to do", Value: chattext.Fit(hint, maxFieldValue, chattext.EscapeMarkdown)}}
	}
	if !a.Time.IsZero() {
		when := a.Time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	return e, nil
}

// digestEmbed is clearly not a treat: its title has a number, and it has no author.
func (s *service) digestEmbed(r pipeline.Record) (embed, error) {
	t, err := chattext.NewDigest(r)
	if err != nil {
		return embed{}, err
	}
	e := embed{Title: t.Treats + chattext.Missed, Description: t.Span, Color: s.color, Footer: &embedFooter{Text: t.Note}}
	if t.What != "" {
		e.Description += ": " + chattext.Fit(t.What, maxPlainDescription, chattext.EscapeMarkdown)
	}
	if !t.Time.IsZero() {
		when := t.Time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	return e, nil
}
