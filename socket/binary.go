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
	size   int // of all that came; of what is larger than readLimit only the number of blobs is kept
}

// attachment adds a buffer to the binary event that waits for it. Size is that of the whole buffer, of which data may be the
// beginning only.
func (s *session) attachment(data []byte, size int) {
	if s.partial == nil {
		s.drop(errors.New("an attachment without its event"))
		return
	}
	s.partial.blobs = append(s.partial.blobs, data)
	if s.partial.size += size; s.partial.size > readLimit {
		clear(s.partial.blobs) // still to be counted, no longer to be kept
	}
	s.complete()
}

// complete hands a binary event over if all its attachments are there.
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

// skip takes note of a message of which only the beginning was read.
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
	case p.kind == packetBinaryEvent || p.kind == packetBinaryAck: // its attachments are to be skipped too
		s.partial = &partial{packet: p, size: in.size}
		s.complete()
	default:
		s.skipped(eventName(p.payload), in.size)
	}
}

// skipped counts a message that is too large, and says so once in a session for each name in a row.
func (s *session) skipped(event string, size int) {
	s.said.skips++
	level := zerolog.DebugLevel
	if s.said.skips == 1 || event != s.said.skippedLast {
		level = zerolog.WarnLevel
	}
	s.said.skippedLast = event
	s.log.WithLevel(level).Str("event", s.link.scrub.clean(event)).Int("bytes", size).Int("limit", readLimit).Int("so_far", s.said.skips).
		Msg("message skipped: it is larger than a treat can be")
	if s.on.skip != nil {
		s.on.skip()
	}
}

// eventName returns the name of an event of whose payload only the beginning may be there, as far as it can be read.
func eventName(payload []byte) string {
	words := json.NewDecoder(strings.NewReader(string(payload[:min(len(payload), headOf)])))
	if bracket, err := words.Token(); err != nil || fmt.Sprint(bracket) != "[" {
		return ""
	}
	name, _ := words.Token() // none is no text
	text, _ := name.(string)
	return text
}
