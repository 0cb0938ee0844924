package cursor

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// The encoding of the cursors in their file: a version, the position at the journal's end that idle lanes share, and then
// each lane: its name, its generation if it differs from that of the file, its position if it differs, and its open and
// missing numbers. All values are unsigned varints, and strings have their length before them. Numbers of ranges are
// deltas.
const cursorVersion = 1

var errFormat = errors.New("it is not a file of cursors")

// header starts the encoding.
func header(b []byte, end Position) []byte {
	return appendPosition(append(b, cursorVersion), end)
}

func appendPosition(b []byte, p Position) []byte {
	b = binary.AppendUvarint(b, p.Next)
	b = appendText(b, p.ID)
	nanos := int64(0)
	if !p.Time.IsZero() {
		nanos = p.Time.UnixNano()
	}
	return binary.AppendVarint(b, nanos)
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendRanges(b []byte, ranges []journal.Range) []byte {
	b = binary.AppendUvarint(b, uint64(len(ranges)))
	last := uint64(0)
	for _, s := range ranges {
		b = binary.AppendUvarint(b, s.First-last)
		b = binary.AppendUvarint(b, s.Last-s.First)
		last = s.Last
	}
	return b
}

// appendLane encodes a lane. atEnd means that its position is the shared one, closed that its generation is its own.
func appendLane(b []byte, sink string, c *journal.Cursor, atEnd, closed bool) []byte {
	b = appendText(b, sink)
	flags := byte(0)
	if atEnd {
		flags |= 1
	}
	if closed {
		flags |= 2
	}
	b = append(b, flags)
	if closed {
		b = binary.AppendUvarint(b, c.Generation)
	}
	if !atEnd {
		b = appendPosition(b, Position{c.Next, c.LastID, c.LastTime})
	}
	return appendRanges(appendRanges(b, c.Open), c.Missing)
}

// parseCursors decodes a file of that generation.
func parseCursors(b []byte, generation uint64) (end Position, cursors map[string]journal.Cursor, err error) {
	p := parser{b: b}
	if p.byte() != cursorVersion {
		return end, nil, errFormat
	}
	end = p.position()
	cursors = make(map[string]journal.Cursor)
	for len(p.b) > 0 && p.err == nil {
		sink, flags := p.text(), p.byte()
		c, at := journal.Cursor{Generation: generation}, end
		if flags&2 != 0 {
			c.Generation = p.number()
		}
		if flags&1 == 0 {
			at = p.position()
		}
		c.Next, c.LastID, c.LastTime = at.Next, at.ID, at.Time
		c.Open, c.Missing = p.ranges(), p.ranges()
		cursors[sink] = c
	}
	return end, cursors, p.err
}

// parser reads values from the front. After the first error it returns zero values.
type parser struct {
	b   []byte
	err error
}

func (p *parser) fail() { p.b, p.err = nil, errFormat }

func (p *parser) byte() byte {
	if len(p.b) == 0 {
		p.fail()
		return 0
	}
	b := p.b[0]
	p.b = p.b[1:]
	return b
}

func (p *parser) number() uint64 {
	n, size := binary.Uvarint(p.b)
	if size <= 0 {
		p.fail()
		return 0
	}
	p.b = p.b[size:]
	return n
}

func (p *parser) text() string {
	n := p.number()
	if n > uint64(len(p.b)) {
		p.fail()
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

func (p *parser) position() Position {
	at := Position{Next: p.number(), ID: p.text()}
	nanos, size := binary.Varint(p.b)
	if size <= 0 {
		p.fail()
		return at
	}
	p.b = p.b[size:]
	if nanos != 0 {
		at.Time = time.Unix(0, nanos).UTC()
	}
	return at
}

func (p *parser) ranges() (ranges []journal.Range) {
	n, last := p.number(), uint64(0)
	if n > uint64(len(p.b)) { // each takes at least two bytes
		p.fail()
		return nil
	}
	for range n {
		first := last + p.number()
		last = first + p.number()
		ranges = append(ranges, journal.Range{First: first, Last: last})
	}
	if !Numbers(ranges).valid() {
		p.fail()
	}
	return ranges
}
