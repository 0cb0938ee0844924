package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// Digest summarizes the treats that one comparison with the history has backfilled for an account, for a sink with
// backfill: digest. It is a CloudEvent like a treat, with a type of its own. Its schema is docs/digest.schema.json.
type Digest struct {
	SpecVersion     string     `json:"specversion"`
	ID              string     `json:"id"`     // the same at every delivery; different for each sink
	Source          string     `json:"source"` // "/{provider}/{account}"
	Type            string     `json:"type"`   // DigestType
	Time            time.Time  `json:"time"`   // when the comparison was done
	DataContentType string     `json:"datacontenttype"`
	Origin          Origin     `json:"origin"` // OriginBackfill
	Data            DigestData `json:"data"`
}

// DigestData is the content of a digest.
type DigestData struct {
	Account  string    `json:"account"`
	Provider string    `json:"provider"`
	Count    int       `json:"count"` // treats that the sink's rules let through; at least 1
	First    time.Time `json:"first"` // when the earliest one was sent
	Last     time.Time `json:"last"`  // when the latest one was sent
	// Senders counts distinct names, up to 100,000. Anonymous counts treats without a name.
	Senders   int `json:"senders"`
	Anonymous int `json:"anonymous"`
	// Top holds up to ten titles, most frequent first, then alphabetically. Treats without a title do not count. Of
	// more than 10,000 titles, only the first ones count.
	Top []TitleCount `json:"top"`
	// From holds up to ten names, in the order of their first appearance.
	From []string `json:"from"`
}

// TitleCount is a title and how many treats have it.
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
