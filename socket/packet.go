package socket

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// The kinds of Socket.IO packets, by their digit on the wire. (Socket.IO protocol, "Packet types"; the digits are the
// same in all its versions.)
const (
	packetConnect     = '0'
	packetDisconnect  = '1'
	packetEvent       = '2'
	packetAck         = '3'
	packetError       = '4'
	packetBinaryEvent = '5'
	packetBinaryAck   = '6'
)

// maxAttachments bounds the buffers of a binary event, and so the frames that one event can consume.
const maxAttachments = 256

// maxAckID bounds the digits of an acknowledgement id that is answered.
const maxAckID = 20

// packet is a Socket.IO packet with its payload not decoded.
type packet struct {
	kind        byte
	attachments int
	namespace   string
	ack         string // the digits of the id of a requested acknowledgement; empty: none
	payload     []byte // JSON, or empty; aliases the frame
}

// acknowledgement returns the message that acknowledges an event, without arguments.
func (p *packet) acknowledgement() string {
	text := string(frameMessage) + string(packetAck)
	if p.namespace != "/" {
		text += p.namespace + ","
	}
	return text + p.ack + "[]"
}

// parsePacket parses the text of a message: kind, [attachments "-"], [namespace ","], [id], payload.
func parsePacket(text []byte) (packet, error) {
	if len(text) == 0 || text[0] < packetConnect || text[0] > packetBinaryAck {
		return packet{}, errors.New("parse packet: unknown kind")
	}
	p := packet{kind: text[0], namespace: "/"}
	rest := text[1:]
	if p.kind == packetBinaryEvent || p.kind == packetBinaryAck {
		count, after, found := bytes.Cut(rest, []byte("-"))
		n, err := strconv.ParseUint(string(count[:min(len(count), 4)]), 10, 16)
		if !found || err != nil || len(count) > 3 || n > maxAttachments {
			return packet{}, errors.New("parse packet: bad number of attachments")
		}
		p.attachments, rest = int(n), after
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte(","))
		if p.kind == packetConnect || p.kind == packetDisconnect || p.kind == packetError {
			name, _, _ = bytes.Cut(name, []byte("?")) // version 1 echoes the query of the namespace
		}
		p.namespace, rest = string(name), after
	}
	if p.kind != packetError { // the text of versions 1 and 2 may start with a digit
		after := bytes.TrimLeft(rest, "0123456789")
		if id := rest[:len(rest)-len(after)]; len(id) <= maxAckID && (p.kind == packetEvent || p.kind == packetBinaryEvent) {
			p.ack = string(id)
		}
		rest = after
	}
	p.payload = rest
	return p, nil
}

// decodeEvent decodes the payload ["name",arg,...] of an event. Name and arguments are checked to be JSON; the
// arguments alias the payload.
func decodeEvent(payload []byte) (name string, args []json.RawMessage, err error) {
	items := make([]json.RawMessage, 0, 2)
	if len(payload) == 0 || payload[0] != '[' || !jsonscan.Elements(payload, func(item []byte) { items = append(items, item) }) {
		return "", nil, errors.New("decode event: not a JSON array")
	}
	if len(items) == 0 || items[0][0] != '"' {
		return "", nil, errors.New("decode event: the name is missing")
	}
	return jsonscan.Unquote(items[0]), items[1:], nil
}

// reserved reports whether a name is reserved by the protocol, so that no server may use it for its own events.
// (Socket.IO documentation, "Emit cheatsheet: reserved events".)
func reserved(name string) bool {
	switch name {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// placeholder is where an attachment belongs in the payload of a binary packet. In valid JSON it can only be an
// object: within a string its quotes would be escaped, and after the end of a string no name can follow.
var placeholder = regexp.MustCompile(`\{\s*"_placeholder"\s*:\s*true\s*,\s*"num"\s*:\s*(\d{1,3})\s*\}`)

// attach inserts the attachments of a binary event into its payload as base64 strings. Each may be used only once, so
// that a short payload cannot be inflated.
func attach(payload []byte, blobs [][]byte) ([]byte, error) {
	used := make([]bool, len(blobs))
	var bad error
	whole := placeholder.ReplaceAllFunc(payload, func(found []byte) []byte {
		n, err := strconv.Atoi(string(placeholder.FindSubmatch(found)[1]))
		if err != nil || n >= len(blobs) || used[n] {
			bad = errors.New("attach: an attachment is missing or used twice")
			return []byte("null")
		}
		used[n] = true
		return strconv.AppendQuote(nil, base64.StdEncoding.EncodeToString(blobs[n]))
	})
	return whole, bad
}

// errorText returns the text of an error packet: the payload in versions 1 and 2 (any JSON, often a string), or the
// member "message" in version 3 and later.
func errorText(payload []byte) string {
	var text string
	if json.Unmarshal(payload, &text) == nil {
		return text
	}
	var object struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(payload, &object) == nil && object.Message != "" {
		return object.Message
	}
	return string(payload)
}
