package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// Digest sums up the treats that one healing of an account has found in the history, for a sink with backfill: digest: a CloudEvent
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
