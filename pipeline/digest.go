package pipeline

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Digest sums up the treats that one healing of an account has found in the history, for a sink with [DigestBackfill]: a CloudEvent
// like a treat, with a type of its own. docs/digest.schema.json is its schema.
type Digest struct {
	SpecVersion     string     `json:"specversion"`
	ID              string     `json:"id"`     // the same at every delivery; another one for each sink
	Source          string     `json:"source"` // "/{provider}/{account}"
	Type            string     `json:"type"`   // DigestType
	Time            time.Time  `json:"time"`   // when the healing was done
	DataContentType string     `json:"datacontenttype"`
	Origin          Origin     `json:"origin"` // OriginBackfill
	Data            DigestData `json:"data"`
}

// DigestData is what a digest says.
type DigestData struct {
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Count    int       `json:"count"` // treats that the sink's rules let through; at least 1
	First    time.Time `json:"first"` // when the earliest of them was sent
	Last     time.Time `json:"last"`  // when the latest of them was sent
	// Senders is how many different names sent them, of which 100,000 are told apart. Anonymous is how many treats have no name.
	Senders   int `json:"senders"`
	Anonymous int `json:"anonymous"`
	// Top are up to ten titles, the most frequent first, those of one count in the order of their letters. A treat without a title
	// is in none of them. Of more than 10,000 titles those that came first are counted.
	Top []TitleCount `json:"top"`
	// From are up to ten names, in the order in which they first appear.
	From []string `json:"from"`
}

// TitleCount is how many treats have a title.
type TitleCount struct {
	Title string `json:"title"` // its first 200 characters
	Count int    `json:"count"`
}

// The bounds of a digest, and of the memory that it takes to make one.
const (
	digestList    = 10
	digestText    = 200 // characters
	digestSenders = 100_000
	digestTitles  = 10_000
)

// digestIDPrefix begins the ids of digests.
const digestIDPrefix = "dig_"

// digestID is the id of the digest that a sink is sent of a mark, which was journaled at that time.
func digestID(at time.Time, sink string, m healMark) string {
	after, through := strconv.FormatUint(m.After, 10), strconv.FormatUint(m.Through, 10)
	return digestIDPrefix + strings.TrimPrefix(NewID(at, HashFields(&sink, &m.Account, &after, &through), 0), TreatIDPrefix)
}

// Digest decodes the line of a digest.
func (r Record) Digest() (Digest, error) {
	var d Digest
	if err := json.Unmarshal(r.Line, &d); err != nil {
		return Digest{}, fmt.Errorf("decode digest %s: %w", r.ID, err)
	}
	return d, nil
}

// Line returns the JSON form of the digest without a line break.
func (d *Digest) Line() ([]byte, error) {
	line, err := EncodeJSON(d)
	if err != nil {
		return nil, fmt.Errorf("encode digest %s: %w", d.ID, err)
	}
	return line, nil
}

// A summary counts the treats of a digest, in bounded memory however many there are.
type summary struct {
	data    DigestData
	senders map[uint64]struct{} // by a hash of the name
	titles  map[string]int
}

func newSummary(m healMark) *summary {
	return &summary{
		data:    DigestData{Account: m.Account, Provider: m.Provider, Top: []TitleCount{}, From: []string{}},
		senders: make(map[uint64]struct{}), titles: make(map[string]int),
	}
}

func (s *summary) add(e *Event) {
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
	sum := HashFields(&name)
	hash := binary.BigEndian.Uint64(sum[:])
	if _, known := s.senders[hash]; known || len(s.senders) == digestSenders {
		return
	}
	s.senders[hash] = struct{}{}
	if len(s.data.From) < digestList {
		s.data.From = append(s.data.From, shorten(name, digestText))
	}
}

// sum returns what was counted.
func (s *summary) sum() DigestData {
	d := s.data
	d.Senders = len(s.senders)
	for title, n := range s.titles {
		d.Top = append(d.Top, TitleCount{title, n})
	}
	slices.SortFunc(d.Top, func(a, b TitleCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Title, b.Title))
	})
	d.Top = slices.Clone(d.Top[:min(len(d.Top), digestList)])
	return d
}

// shorten cuts a text to that many characters, the last of which is an ellipsis then.
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
