package chattext

import (
	"fmt"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
)

// Limits on the content of a digest in a chat.
const (
	shownTitles = 5
	shownNames  = 5
	maxListed   = 60 // units of one title or name
)

// KindOf returns the kind of message for a record. A message has records of one kind only.
func KindOf(r pipeline.Record) string {
	switch r.Type {
	case pipeline.AlertType, pipeline.DigestType:
		return r.Type
	}
	return pipeline.EventType
}

// Digest is a digest for display, as clean texts without markup.
type Digest struct {
	Treats string // the number of treats, in words
	Span   string // when they were sent
	What   string // their titles and senders; empty if both are unknown
	Note   string
	Time   time.Time
}

// Missed follows the number of treats.
const Missed = " came while relay was not connected"

// NewDigest decodes the record of a digest.
func NewDigest(r pipeline.Record) (Digest, error) {
	d, err := r.Digest()
	if err != nil {
		return Digest{}, err
	}
	t := Digest{Treats: fmt.Sprint(d.Data.Count, " treats"), Span: spanText(d), Note: "account " + displaytext.Clean(d.Data.Account, 1), Time: d.Time}
	if d.Data.Count == 1 {
		t.Treats = "1 treat"
	}
	var parts []string
	for _, list := range []string{titlesText(d.Data), namesText(d.Data)} {
		if list != "" {
			parts = append(parts, list)
		}
	}
	t.What = strings.Join(parts, ", ")
	return t, nil
}

// spanText returns when the treats were sent, with dates unless all were sent on one day.
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
		if title := Fit(displaytext.Clean(top.Title, 1), maxListed, Verbatim); title != "" {
			shown = append(shown, fmt.Sprintf("%dx %s", top.Count, title))
			left -= top.Count
		}
	}
	return listed(shown, left > 0)
}

func namesText(d pipeline.DigestData) string {
	var shown []string
	for _, name := range d.From[:min(len(d.From), shownNames)] {
		if name = Fit(displaytext.Clean(name, 1), maxListed, Verbatim); name != "" {
			shown = append(shown, name)
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return "from " + listed(shown, d.Senders > len(shown) || d.Anonymous > 0)
}

// listed joins a list in words. more means that the list is incomplete.
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
