package sinks

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
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

// resetMargin is waited beyond the reset of a bucket, which is told in milliseconds.
const resetMargin = 10 * time.Millisecond

// discord is the [messenger] of a discord sink.
type discord struct {
	username, avatar string
	color            int
	template         *textTemplate // nil: the message of the treat
	thumbnails       map[string]string
	words            []string // those of thumbnails, the longest first

	left  int       // what the bucket still takes
	reset time.Time // when it is full again, by the monotonic clock
}

// discordMessage is the body of Execute Webhook.
type discordMessage struct {
	Username  string  `json:"username,omitempty"`
	AvatarURL string  `json:"avatar_url,omitempty"`
	Embeds    []embed `json:"embeds"`
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

// rateLimit is the body of a 429 ("Exceeding A Rate Limit").
type rateLimit struct {
	RetryAfter float64 `json:"retry_after"` // seconds
	Global     bool    `json:"global"`
}

// judge implements [messenger].
func (d *discord) judge(got chatAnswer) error {
	if got.status != http.StatusTooManyRequests {
		return judgeStatus(got, "make a new webhook in the settings of the channel, or mend thread_id")
	}
	var limit rateLimit
	_ = json.Unmarshal(got.body, &limit) // It may be a page of HTML.
	whose := "of this webhook"
	switch scope := got.header.Get("X-RateLimit-Scope"); {
	case limit.Global || scope == "global":
		whose = "of everything from this address"
	case scope == "shared":
		whose = "of the channel"
	}
	err := pipeline.Unavailable(fmt.Errorf("status 429: the rate limit %s is exceeded", whose))
	// The longer of the two: the header rounds, and stands alone in what the proxy before Discord says.
	after := max(seconds(limit.RetryAfter), retryAfter(got.header, time.Now()))
	if after > 0 {
		return pipeline.RetryAfter(after, err)
	}
	return err
}

// pace implements [messenger]: it keeps out of a bucket that is empty ("Rate Limits"). A request without an answer may have
// taken from the bucket too.
func (d *discord) pace(got chatAnswer) time.Duration {
	left, err := strconv.Atoi(got.header.Get("X-RateLimit-Remaining"))
	after, err2 := strconv.ParseFloat(got.header.Get("X-RateLimit-Reset-After"), 64)
	if err == nil && err2 == nil {
		d.left, d.reset = left, time.Now().Add(seconds(after)+resetMargin)
	} else {
		d.left--
	}
	if d.left > 0 {
		return 0
	}
	return time.Until(d.reset)
}

// seconds turns a number of seconds into a duration from 0 to a day.
func seconds(s float64) time.Duration {
	if !(s > 0) { // nor NaN
		return 0
	}
	return time.Duration(math.Ceil(min(s, maxRetryAfter.Seconds()) * float64(time.Second)))
}
