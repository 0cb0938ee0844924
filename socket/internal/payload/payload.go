// Package payload encodes and decodes the payloads of Engine.IO over HTTP long-polling, which have several packets in
// one body. It reads a body in bounded memory, and makes no requests.
//
// Revision 4 separates packets with a record separator, and marks bytes in base64 with "b". Revision 3 puts the length
// of each packet before it, in units of UTF-16. Servers of Socket.IO 1.x for all packets, and of 2.x for bytes, use a
// binary format instead. (Engine.IO protocol, "Payload".)
//
// Start reading at [Decoder.Next].
package payload

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
)

// Limits bound one packet, in bytes. An answer may hold any number of packets, which are read one by one.
type Limits struct {
	Read int // a larger packet is skipped, except for its start
	Head int // how much of a skipped packet is kept
	Skip int // a larger packet is an error
}

// ErrTooLarge means that a packet exceeds [Limits.Skip].
var ErrTooLarge = errors.New("a packet is larger than may be skipped")

var (
	errNotPayload = errors.New("the answer is not an Engine.IO payload")
	errLength     = errors.New("the length of a packet in the answer is wrong")
)

// Packet is a packet in the form of a WebSocket message.
type Packet struct {
	Binary bool
	Data   []byte // complete, or the start of a skipped packet
	Size   int    // in bytes
}

// Decoder decodes the packets of one answer.
type Decoder struct {
	in       *bufio.Reader
	revision int
	limits   Limits
}

// NewDecoder makes a Decoder for an answer in the given revision, 3 or 4.
func NewDecoder(in io.Reader, revision int, limits Limits) *Decoder {
	return &Decoder{bufio.NewReader(in), revision, limits}
}

// Revision returns the revision of an answer by its first byte; zero: unknown.
func (d *Decoder) Revision() int {
	second, err := d.in.Peek(2)
	if err != nil {
		return 0
	}
	switch first := second[0]; {
	case first <= 1: // of the binary format
		return 3
	case isDigit(first) && (isDigit(second[1]) || second[1] == ':'):
		return 3
	case isDigit(first):
		return 4
	}
	return 0
}

// Next returns the next packet, or [io.EOF] after the last one. While a large packet arrives, it calls progress, which
// may be nil.
func (d *Decoder) Next(progress func()) (Packet, error) {
	c := collector{revision: d.revision, limits: d.limits, progress: progress}
	if d.revision == 4 {
		return d.separated(&c)
	}
	first, err := d.in.Peek(1)
	switch {
	case err != nil:
		return Packet{}, err
	case first[0] <= 1:
		return d.framed(&c)
	case isDigit(first[0]):
		return d.counted(&c)
	}
	return Packet{}, errNotPayload
}

// separated reads a packet of revision 4.
func (d *Decoder) separated(c *collector) (Packet, error) {
	const separator = 0x1e
	for {
		chunk, err := d.in.ReadSlice(separator)
		ended := err == nil
		if ended {
			chunk = chunk[:len(chunk)-1]
		}
		if bad := c.add(chunk); bad != nil {
			return Packet{}, bad
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && (!errors.Is(err, io.EOF) || c.size == 0):
			return Packet{}, err
		default:
			return c.text()
		}
	}
}

// counted reads a packet of revision 3 with a length in units of UTF-16.
func (d *Decoder) counted(c *collector) (Packet, error) {
	units, err := d.length(':', func(b byte) (int, bool) { return int(b) - '0', isDigit(b) })
	for err == nil && units > 0 {
		if units, err = d.take(c, units); err != nil {
			return Packet{}, err
		}
	}
	if err != nil {
		return Packet{}, err
	}
	return c.text()
}

// take consumes bytes of a packet. It returns how many units are still missing.
func (d *Decoder) take(c *collector, units int) (left int, err error) {
	if _, err := d.in.Peek(1); err != nil {
		return 0, truncated(err)
	}
	chunk, _ := d.in.Peek(d.in.Buffered())
	n := 0
	for _, b := range chunk {
		if b&0xc0 != 0x80 { // the first byte of a character
			if units == 0 {
				break
			}
			units--
			if b >= 0xf0 {
				units--
			}
		}
		if units < 0 {
			return 0, errLength
		}
		n++
	}
	if err = c.add(chunk[:n]); err != nil {
		return 0, err
	}
	last := chunk[n-1]
	if _, err = d.in.Discard(n); err != nil {
		return 0, err
	}
	if units == 0 && last >= 0x80 { // the last character may be incomplete
		return 0, d.rest(c)
	}
	return units, nil
}

// rest consumes the rest of a packet's last character.
func (d *Decoder) rest(c *collector) error {
	for {
		next, err := d.in.Peek(1)
		if errors.Is(err, io.EOF) || err == nil && next[0]&0xc0 != 0x80 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.add(next); err != nil {
			return err
		}
		if _, err := d.in.Discard(1); err != nil {
			return err
		}
	}
}

// framed reads a packet of the binary format: 0 for text or 1 for bytes, the digits of its length in bytes, 255, and
// the packet.
func (d *Decoder) framed(c *collector) (Packet, error) {
	kind, err := d.in.ReadByte()
	if err != nil {
		return Packet{}, err
	}
	left, err := d.length(0xff, func(b byte) (int, bool) { return int(b), b <= 9 })
	if err != nil {
		return Packet{}, err
	}
	for left > 0 {
		if _, err := d.in.Peek(1); err != nil {
			return Packet{}, truncated(err)
		}
		n := min(left, d.in.Buffered())
		chunk, err := d.in.Peek(n)
		if err == nil {
			err = c.add(chunk)
		}
		if err == nil {
			_, err = d.in.Discard(n)
		}
		if err != nil {
			return Packet{}, err
		}
		left -= n
	}
	if kind == 0 {
		return c.text()
	}
	if len(c.data) == 0 || c.data[0] > 6 {
		return Packet{}, errNotPayload
	}
	return Packet{Binary: true, Data: c.data, Size: c.size}, nil
}

// length reads digits up to end.
func (d *Decoder) length(end byte, digit func(byte) (int, bool)) (n int, err error) {
	const most = 10 // digits
	for range most {
		b, err := d.in.ReadByte()
		if err != nil {
			return 0, truncated(err)
		}
		if b == end {
			return n, nil
		}
		value, ok := digit(b)
		if !ok {
			break
		}
		n = 10*n + value
	}
	return 0, errNotPayload
}

// collector collects the bytes of a packet within the limits.
type collector struct {
	revision int
	limits   Limits
	progress func()
	data     []byte
	size     int
	skipping bool
}

func (c *collector) add(chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	if c.size += len(chunk); c.size > c.bound(c.limits.Skip) {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.limits.Skip)
	}
	if c.progress != nil && c.size > len(chunk) {
		c.progress()
	}
	if c.skipping {
		return nil
	}
	if c.data = append(c.data, chunk...); len(c.data) > c.bound(c.limits.Read) {
		c.skipping, c.data = true, bytes.Clone(c.data[:c.limits.Head])
	}
	return nil
}

// bound converts a limit to the encoded size: base64 is longer than its bytes.
func (c *collector) bound(limit int) int {
	if len(c.data) > 0 && c.data[0] == 'b' {
		return limit/3*4 + 8
	}
	return limit
}

// text returns a collected packet that was written as text, which may be bytes in base64.
func (c *collector) text() (Packet, error) {
	switch {
	case c.size == 0:
		return Packet{}, nil
	case c.data[0] == 'b':
		return c.base64()
	case c.data[0] < '0' || c.data[0] > '6':
		return Packet{}, errNotPayload
	}
	return Packet{Data: c.data, Size: c.size}, nil
}

// base64 decodes "b" and base64 (revision 4), or "b", a kind and base64 (revision 3).
func (c *collector) base64() (Packet, error) {
	encoded := c.data[1:]
	p := Packet{Binary: true, Size: (c.size - 1) / 4 * 3}
	if c.revision == 3 {
		if len(encoded) == 0 || encoded[0] < '0' || encoded[0] > '6' {
			return Packet{}, errNotPayload
		}
		p.Data, encoded = []byte{encoded[0] - '0'}, encoded[1:]
	}
	if c.skipping {
		encoded = encoded[:len(encoded)/4*4]
	}
	data, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return Packet{}, errors.New("a packet of bytes in the answer is not base64")
	}
	p.Data = append(p.Data, data...)
	if !c.skipping {
		p.Size = len(p.Data)
	}
	return p, nil
}

// Encode encodes one packet as a payload of the given revision.
func Encode(revision int, packet string) string {
	if revision == 4 {
		return packet
	}
	return strconv.Itoa(len(utf16.Encode([]rune(packet)))) + ":" + packet
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// truncated returns the error for an answer that ends within a packet.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
