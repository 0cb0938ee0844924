package sinks

import (
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// How much of a digest a chat shows.
const (
	shownTitles = 5
	shownNames  = 5
	maxListed   = 60 // units of one title or name
)

// kindOf is what sort of message a record makes: those of different sorts share none.
func kindOf(r pipeline.Record) string {
	switch r.Type {
	case pipeline.AlertType, pipeline.DigestType:
		return r.Type
	}
	return pipeline.EventType
}

// digestText is what is shown of a digest: clean texts without any markup.
type digestText struct {
	treats string // how many, in words
	span   string // when they were sent
	what   string // which, and from whom; empty if nothing is known of either
	note   string
	time   time.Time
}

// missed says what happened, behind how many treats.
const missed = " came while relay was not connected"

func newDigestText(r pipeline.Record) (digestText, error) {
	d, err := r.Digest()
	if err != nil {
		return digestText{}, err
	}
	t := digestText{treats: fmt.Sprint(d.Data.Count, " treats"), span: spanText(d), note: "account " + clean(d.Data.Account, 1), time: d.Time}
	if d.Data.Count == 1 {
		t.treats = "1 treat"
	}
	var parts []string
	for _, list := range []string{titlesText(d.Data), namesText(d.Data)} {
		if list != "" {
			parts = append(parts, list)
		}
	}
	t.what = strings.Join(parts, ", ")
	return t, nil
}

// spanText tells from when to when the treats were sent, with the dates unless all is of one day.
func spanText(d pipeline.Digest) string {
	layout := "15:04"
	first, last := d.Data.First.UTC(), d.Data.Last.UTC()
	if day := d.Time.UTC().Format(time.DateOnly); first.Format(time.DateOnly) != day || last.Format(time.DateOnly) != day {
		layout = "2006-01-02 15:04"
	}
	from, to := first.Format(layout), last.Format(layout)
	if from == to {
		return "at " + from + " UTC"
	}
	return from + " to " + to + " UTC"
}

func titlesText(d pipeline.DigestData) string {
	var shown []string
	left := d.Count
	for _, top := range d.Top[:min(len(d.Top), shownTitles)] {
		if title := fit(clean(top.Title, 1), maxListed, verbatim); title != "" {
			shown = append(shown, fmt.Sprintf("%dx %s", top.Count, title))
			left -= top.Count
		}
	}
	return listed(shown, left > 0)
}

func namesText(d pipeline.DigestData) string {
	var shown []string
	for _, name := range d.From[:min(len(d.From), shownNames)] {
		if name = fit(clean(name, 1), maxListed, verbatim); name != "" {
			shown = append(shown, name)
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return "from " + listed(shown, d.Senders > len(shown) || d.Anonymous > 0)
}

// listed joins a list in words. more says that it is not all.
func listed(all []string, more bool) string {
	switch {
	case len(all) == 0:
		return ""
	case more:
		return strings.Join(all, ", ") + " and others"
	case len(all) == 1:
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " and " + all[len(all)-1]
}

// digestEmbed is plainly not a treat: its title has a number, and it has no author.
func (d *discord) digestEmbed(r pipeline.Record) (embed, error) {
	t, err := newDigestText(r)
	if err != nil {
		return embed{}, err
	}
	e := embed{Title: t.treats + missed, Description: t.span, Color: d.color, Footer: &embedFooter{Text: t.note}}
	if t.what != "" {
		e.Description += ": " + fit(t.what, maxPlainDescription, escapeMarkdown)
	}
	if !t.time.IsZero() {
		when := t.time.UTC().Truncate(time.Second)
		e.Timestamp = &when
	}
	return e, nil
}

// digestBlocks returns what shows a digest, and the same as one clean line.
func digestBlocks(r pipeline.Record) (line string, blocks []slackBlock, err error) {
	t, err := newDigestText(r)
	if err != nil {
		return "", nil, err
	}
	line = t.treats + missed + " (" + t.span + ")"
	text := "*" + t.treats + "*" + missed + " (" + t.span + ")"
	if t.what != "" {
		line += ": " + t.what
		text += ": " + fit(t.what, maxSlackSection-units(text)-2, escapeMrkdwn)
	}
	return clean(line, 1), []slackBlock{section(text), contextBlock(t.time, t.note)}, nil
}
