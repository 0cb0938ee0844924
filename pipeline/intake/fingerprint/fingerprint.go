// Package fingerprint decides which treats are the same, regardless of their form: it compares their content, the part
// of it that survives a change of form, and their dates. Start reading at [Fingerprint].
package fingerprint

import (
	"encoding/binary"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Fingerprint is the data that comparing treats needs. It does not depend on the spelling of a date.
type Fingerprint struct {
	// Content is a hash of the six fields other than date_created.
	Content uint64
	// Core is the part of the content that survives a change of form.
	Core Core
	// When is the date. It is zero if there is no readable date: such a treat cannot be told from its repeat.
	When Date
}

// Of returns the fingerprint of a treat's normalized content.
func Of(d *pipeline.Data) Fingerprint {
	f := Fingerprint{
		Content: hash(text(d.Sender), text(d.SenderType), text(d.Receiver), text(d.ReceiverType), text(d.Title), text(d.Message)),
		Core:    coreOf(d.Sender, d.Title, d.Message),
	}
	if d.DateCreated != nil {
		f.When, _ = parseDate(*d.DateCreated)
	}
	return f
}

// An Identity identifies a treat within the socket and the history: its content and the second when it was sent. It
// does not depend on the spelling of the date. Several treats can share an identity.
type Identity struct {
	Content uint64
	Second  int64 // Unix time
}

// Identity returns the identity of a dated treat. zone applies to a date without a zone.
func (f *Fingerprint) Identity(zone *time.Location) Identity {
	return Identity{f.Content, f.When.In(zone).Unix()}
}

// hash returns the first 8 bytes of [pipeline.HashFields].
func hash(parts ...string) uint64 {
	sum := pipeline.HashTexts(parts...)
	return binary.BigEndian.Uint64(sum[:])
}

func text(field *string) string {
	if field == nil {
		return ""
	}
	return *field
}

// Date is a date with second precision.
type Date struct {
	// Digits is the Unix time of the date, read in UTC if it names no zone. 0: there is no date.
	Digits int64
	// Floating is true if the date has no zone.
	Floating bool
	// Nanos is the fraction of the second. It is not used in comparisons with the index.
	Nanos int32
}

// IsZero reports whether there is no date.
func (d Date) IsZero() bool { return d.Digits == 0 }

// In returns the time of the date. zone applies to a date without a zone.
func (d Date) In(zone *time.Location) time.Time {
	at := time.Unix(d.Digits, int64(d.Nanos)).UTC()
	if !d.Floating || zone == time.UTC {
		return at
	}
	year, month, day := at.Date()
	return time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), zone)
}
