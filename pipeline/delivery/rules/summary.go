package rules

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The bounds of a digest, and of the memory to make one.
const (
	digestList    = 10
	digestText    = 200 // characters
	digestSenders = 100_000
	digestTitles  = 10_000
)

// A summary counts the treats of a digest in bounded memory.
type summary struct {
	data    pipeline.DigestData
	senders map[uint64]struct{} // by hash of the name
	titles  map[string]int
}

func newSummary(m journal.BackfillBatch) *summary {
	return &summary{
		data:    pipeline.DigestData{Account: m.Account, Provider: m.Provider, Top: []pipeline.TitleCount{}, From: []string{}},
		senders: make(map[uint64]struct{}), titles: make(map[string]int),
	}
}

func (s *summary) add(e *pipeline.Event) {
	d := &s.data
	if d.Count++; d.Count == 1 || e.Time.Before(d.First) {
		d.First = e.Time
	}
	if e.Time.After(d.Last) {
		d.Last = e.Time
	}
	if e.Data.Sender == nil {
		d.Anonymous++
	} else {
		s.sender(*e.Data.Sender)
	}
	if e.Data.Title == nil || strings.TrimSpace(*e.Data.Title) == "" {
		return
	}
	title := shorten(*e.Data.Title, digestText)
	if _, known := s.titles[title]; known || len(s.titles) < digestTitles {
		s.titles[title]++
	}
}

func (s *summary) sender(name string) {
	sum := pipeline.HashFields(&name)
	hash := binary.BigEndian.Uint64(sum[:])
	if _, known := s.senders[hash]; known || len(s.senders) == digestSenders {
		return
	}
	s.senders[hash] = struct{}{}
	if len(s.data.From) < digestList {
		s.data.From = append(s.data.From, shorten(name, digestText))
	}
}

// sum returns the counts.
func (s *summary) sum() pipeline.DigestData {
	d := s.data
	d.Senders = len(s.senders)
	for title, n := range s.titles {
		d.Top = append(d.Top, pipeline.TitleCount{Title: title, Count: n})
	}
	slices.SortFunc(d.Top, func(a, b pipeline.TitleCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Title, b.Title))
	})
	d.Top = slices.Clone(d.Top[:min(len(d.Top), digestList)])
	return d
}

// shorten truncates a text to that many characters, the last of which is then an ellipsis.
func shorten(text string, limit int) string {
	n, cut := 0, 0
	for i := range text {
		if n++; n == limit {
			cut = i
		}
		if n > limit {
			return text[:cut] + "…"
		}
	}
	return text
}
