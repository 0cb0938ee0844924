// Package fingerprint says which treats are alike, however they are written: what they say, what stays of that in another form, and what their dates
// mean.
package fingerprint

import (
	"encoding/binary"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Fingerprint is what has to be known of a treat to compare it with others: not how its date is spelled, but what it says.
type Fingerprint struct {
	// Content is a hash of the six fields beside date_created.
	Content uint64
	// Core is what stays of it in another form.
	Core Core
	// When is what the date says. It is the zero value if there is none, or none that can be read: such a treat cannot be told from its repeat.
	When Moment
}

// Of returns the fingerprint of a treat's normalized content.
func Of(d *pipeline.Data) Fingerprint {
	f := Fingerprint{
		Content: hash(text(d.Sender), text(d.SenderType), text(d.Receiver), text(d.ReceiverType), text(d.Title), text(d.Message)),
		Core:    coreOf(d.Sender, d.Title, d.Message),
	}
	if d.DateCreated != nil {
		f.When, _ = ParseDate(*d.DateCreated)
	}
	return f
}

// An Identity tells treats apart as the socket and the history write them: by content and by the second in which they were sent. It
// does not depend on how a date is spelled. Treats that share an identity are counted.
type Identity struct {
	Content uint64
	Second  int64 // Unix time
}

// Identity is that of a dated treat, given the zone of dates that name none.
func (f *Fingerprint) Identity(zone *time.Location) Identity {
	return Identity{f.Content, f.When.In(zone).Unix()}
}

// hash is the beginning of [pipeline.HashFields].
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

// Moment is what a date says, to the second.
type Moment struct {
	// Digits is the Unix time of the date, read in UTC if it names no zone. 0: there is no date.
	Digits int64
	// Floating is true if the date names no zone.
	Floating bool
	// Nanos is the fraction of the second. It takes no part in comparisons with what the index holds.
	Nanos int32
}

// IsZero reports whether there is no date.
func (m Moment) IsZero() bool { return m.Digits == 0 }

// In is the moment's time, given the zone of dates that name none.
func (m Moment) In(zone *time.Location) time.Time {
	at := time.Unix(m.Digits, int64(m.Nanos)).UTC()
	if !m.Floating || zone == time.UTC {
		return at
	}
	year, month, day := at.Date()
	return time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), zone)
}
