package socket

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
)

// partial is a binary event that waits for its attachments.
type partial struct {
	packet packet
	blobs  [][]byte
	size   int // of everything received; if larger than readLimit, blobs is only counted
}

// attachment adds a buffer to the waiting binary event. size is that of the whole buffer, of which data may be a
// prefix.
func (s *session) attachment(data []byte, size int) {
	if s.partial == nil {
		s.drop(errors.New("an attachment without its event"))
		return
	}
	s.partial.blobs = append(s.partial.blobs, data)
	if s.partial.size += size; s.partial.size > readLimit {
		clear(s.partial.blobs) // count them without keeping them
	}
	s.complete()
}

// complete delivers a binary event if all its attachments are there.
func (s *session) complete() {
	whole := s.partial
	if len(whole.blobs) < whole.packet.attachments {
		return
	}
	s.partial = nil
	if whole.packet.kind != packetBinaryEvent {
		return
	}
	if whole.size > readLimit {
		s.skipped(eventName(whole.packet.payload), whole.size)
		return
	}
	payload, err := attach(whole.packet.payload, whole.blobs)
	if err != nil {
		s.drop(err)
		return
	}
	whole.packet.payload = payload
	s.event(&whole.packet, cap(payload))
}

// skip handles a message of which only a prefix was read.
func (s *session) skip(in *incoming) {
	f := parseFrame(s.link.rev, in.binary, in.data)
	if f.kind == frameMessage && f.binary && s.partial != nil {
		s.attachment(nil, in.size)
		return
	}
	s.partial = nil
	p, err := parsePacket(f.data)
	switch {
	case f.kind != frameMessage || f.binary || err != nil:
		s.skipped("", in.size)
	case p.kind == packetBinaryEvent || p.kind == packetBinaryAck: // its attachments are skipped too
		s.partial = &partial{packet: p, size: in.size}
		s.complete()
	default:
		s.skipped(eventName(p.payload), in.size)
	}
}

// skipped counts a message that is too large. It logs once in a session for each run of messages with the same name.
func (s *session) skipped(event string, size int) {
	s.logged.skips++
	level := zerolog.DebugLevel
	if s.logged.skips == 1 || event != s.logged.skippedLast {
		level = zerolog.WarnLevel
	}
	s.logged.skippedLast = event
	s.log.WithLevel(level).Str("event", s.link.scrub.clean(event)).Int("bytes", size).Int("limit", readLimit).Int("so_far", s.logged.skips).
		Msg("message skipped: it is larger than a treat can be")
	if s.on.skip != nil {
		s.on.skip()
	}
}

// eventName returns the name of an event from a prefix of its payload, if it is readable.
func eventName(payload []byte) string {
	words := json.NewDecoder(strings.NewReader(string(payload[:min(len(payload), headBytes)])))
	if bracket, err := words.Token(); err != nil || fmt.Sprint(bracket) != "[" {
		return ""
	}
	name, _ := words.Token() // none is no text
	text, _ := name.(string)
	return text
}
