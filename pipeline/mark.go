package pipeline

import (
	"encoding/binary"
	"html"
	"strings"
	"time"
)

// A mark tells treats apart as the socket and the history write them: by content and by the second in which they were sent.
// Unlike a [Key] it does not depend on how a date is spelled. Treats that share a mark are counted.
type mark struct {
	content [16]byte // a hash of the six fields beside date_created
	second  int64    // Unix time
}

// A trace is what has to be kept of a dated treat to compare it with others.
type trace struct {
	content [16]byte
	core    uint64 // a hash of who sent what
	when    moment
}

// traceOf returns the trace of a treat's normalized content, and false if its date cannot be read: such a treat cannot be told
// from its repeat.
func traceOf(d *Data) (trace, bool) {
	if d.DateCreated == nil {
		return trace{}, false
	}
	when, ok := parseDate(*d.DateCreated)
	if !ok {
		return trace{}, false
	}
	content := HashFields(d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message)
	core := HashFields(plainText(d.Sender), plainText(d.Title))
	return trace{[16]byte(content[:16]), binary.BigEndian.Uint64(core[:]), when}, true
}

// plainText takes out what a text may differ in between the socket and the history.
func plainText(text *string) *string {
	if text == nil {
		return nil
	}
	return new(strings.TrimSpace(html.UnescapeString(*text)))
}

// in is the mark of a trace, given the zone of dates that name none.
func (t trace) in(zone *time.Location) mark { return mark{t.content, t.when.in(zone).Unix()} }
