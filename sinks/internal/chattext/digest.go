package chattext

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

// KindOf is what sort of message a record makes: those of different sorts share none.
func KindOf(r pipeline.Record) string {
	switch r.Type {
	case pipeline.AlertType, pipeline.DigestType:
		return r.Type
	}
	return pipeline.EventType
}

// Digest is what is shown of a digest: clean texts without any markup.
type Digest struct {
	Treats string // how many, in words
	Span   string // when they were sent
	What   string // which, and from whom; empty if nothing is known of either
	Note   string
	Time   time.Time
}

// Missed says what happened, behind how many treats.
const Missed = " came while relay was not connected"

// NewDigest reads the record of a digest.
func NewDigest(r pipeline.Record) (Digest, error) {
	d, err := r.Digest()
	if err != nil {
		return Digest{}, err
	}
	t := Digest{Treats: fmt.Sprint(d.Data.Count, " treats"), Span: spanText(d), Note: "account " + Clean(d.Data.Account, 1), Time: d.Time}
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
		if title := Fit(Clean(top.Title, 1), maxListed, Verbatim); title != "" {
			shown = append(shown, fmt.Sprintf("%dx %s", top.Count, title))
			left -= top.Count
		}
	}
	return listed(shown, left > 0)
}

func namesText(d pipeline.DigestData) string {
	var shown []string
	for _, name := range d.From[:min(len(d.From), shownNames)] {
		if name = Fit(Clean(name, 1), maxListed, Verbatim); name != "" {
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
