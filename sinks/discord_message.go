package sinks

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// The limits of a message (Discord's documentation, "Execute Webhook" and "Embed Limits"). Texts count in [units].
const (
	maxEmbeds           = 10
	maxEmbedsTotal      = 6000 // over all embeds: title, description, names and values of fields, footer, author
	maxEmbedTitle       = 256
	maxDescription      = 4096
	maxPlainDescription = 2000 // what is shown of a message without a template
	maxFieldValue       = 1024
)

// The colours of alerts.
const (
	colorRed   = 0xd83c3e
	colorAmber = 0xf0b232
	colorGreen = 0x23a55a
)

// discord is the [messenger] of a discord sink.
type discord struct {
	username, avatar string
	threadName       string // of a thread in a forum channel, which the first message opens
	color            int
	template         *textTemplate // nil: the message of the treat
	thumbnails       map[string]string
	words            []string // those of thumbnails, the longest first

	thread string    // the id of the thread that was opened; empty: the next message opens one
	left   int       // what the bucket still takes
	reset  time.Time // when it is full again, by the monotonic clock
}

// discordMessage is the body of Execute Webhook.
type discordMessage struct {
	Username  string `json:"username,omitempty"`
	AvatarURL string `json:"avatar_url,omitempty"`
	// ThreadName opens a thread of that name with the message.
	ThreadName string  `json:"thread_name,omitempty"`
	Embeds     []embed `json:"embeds"`
	// AllowedMentions is always {"parse": []}: nobody is notified, whatever the text holds.
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

// size is what an embed adds to the total of its message.
func (e embed) size() int {
	n := units(e.Title) + units(e.Description)
	if e.Author != nil {
		n += units(e.Author.Name)
	}
	for _, f := range e.Fields {
		n += units(f.Name) + units(f.Value)
	}
	if e.Footer != nil {
		n += units(e.Footer.Text)
	}
	return n
}

// compose implements [messenger]. Treats, alerts and digests do not share a message.
func (d *discord) compose(records []pipeline.Record) ([]byte, int, error) {
	m := discordMessage{Username: d.username, AvatarURL: d.avatar}
	if d.thread == "" {
		m.ThreadName = d.threadName
	}
	m.AllowedMentions.Parse = []string{}
	total := 0
	for i, r := range records {
		if i == maxEmbeds || kindOf(r) != kindOf(records[0]) {
			break
		}
		e, err := d.embed(r)
		if err != nil {
			if i == 0 {
				return nil, 0, err
			}
			break // It is the first of a later message.
		}
		if total += e.size(); i > 0 && total > maxEmbedsTotal {
			break
		}
		m.Embeds = append(m.Embeds, e)
	}
	body, err := json.Marshal(m)
	return body, len(m.Embeds), err
}

func (d *discord) embed(r pipeline.Record) (embed, error) {
	switch kindOf(r) {
	case pipeline.AlertType:
		return alertEmbed(r)
	case pipeline.DigestType:
		return d.digestEmbed(r)
	}
	t, err := newTreatText(r)
	if err != nil {
		return embed{}, err
	}
	title := t.Title
	if title == "" {
		title = "A treat"
	}
	e := embed{
		Title: fit(title, maxEmbedTitle, escapeMarkdown), Color: d.color,
		// Neither the author nor the footer knows any markup.
		Author: &embedAuthor{Name: t.by() + " sent a treat"},
	}
	if d.template == nil {
		e.Description = fit(t.Message, maxPlainDescription, escapeMarkdown)
	} else if e.Description, err = d.template.text(t); err != nil {
		return embed{}, fmt.Errorf("template: %w", err)
	}
	if !t.Time.IsZero() {
		when := t.Time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	if note := t.note(); note != "" {
		e.Footer = &embedFooter{Text: note}
	}
	lower := strings.ToLower(t.Title)
	for _, word := range d.words {
		if strings.Contains(lower, strings.ToLower(word)) {
			e.Thumbnail = &embedImage{URL: d.thumbnails[word]}
			break
		}
	}
	return e, nil
}

// alertEmbed is plainly not a treat: it has the colour of its urgency and says what to do.
func alertEmbed(r pipeline.Record) (embed, error) {
	a, err := r.Alert()
	if err != nil {
		return embed{}, err
	}
	title, color := alertTitle(a.Data), colorAmber
	switch a.Data.Kind {
	case pipeline.AlertDisabled, pipeline.AlertDeadLetter:
		color = colorRed
	case pipeline.AlertRecovered:
		color = colorGreen
	}
	e := embed{
		Title: fit(title, maxEmbedTitle, escapeMarkdown), Color: color,
		Description: fit(clean(a.Data.Reason, maxLines), maxPlainDescription, escapeMarkdown),
		Footer:      &embedFooter{Text: "relay"},
	}
	if hint := clean(a.Data.Hint, maxLines); hint != "" {
		e.Fields = []embedField{{Name: "What to do", Value: fit(hint, maxFieldValue, escapeMarkdown)}}
	}
	if !a.Time.IsZero() {
		when := a.Time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	return e, nil
}

// alertTitle says what happened to a sink.
func alertTitle(a pipeline.AlertData) string {
	what := string(a.Kind)
	switch a.Kind {
	case pipeline.AlertDown:
		what = "is down"
	case pipeline.AlertDisabled:
		what = "is disabled"
	case pipeline.AlertDeadLetter:
		what = "refused an event for good"
	case pipeline.AlertRecovered:
		what = "works again"
	}
	return clean("Sink "+a.Sink+" "+what, 1)
}
