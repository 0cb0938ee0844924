package journalfiles

import (
	"bytes"
	"encoding/binary"
	"time"
)

// A scan is what was found in one block.
type scan struct {
	first, last uint64 // the lowest and highest number that it speaks of; 0 if it has none
	lastTime    int64
	messages    int
	holes       []hole
	mended      []uint64 // numbers of the messages whose lengths were damaged and are mended
	whole       []byte   // its content without the holes and with what was mended; nil if nothing is wrong with it
}

// A hole is a stretch of a block that is no record.
type hole struct {
	size   int
	after  uint64 // the highest number before it in the block, 0 if none
	before uint64 // the lowest after it in the block, 0 if none
	seq    uint64 // the number that its first bytes name, as far as these can be trusted; 0 if none
	time   int64  // likewise, Unix nanoseconds
	// subject likewise.
	subject string
	// cut is true where its first bytes want more than is left of the block, or there is nothing in it: a write that was
	// interrupted looks like this.
	cut bool
	// one is true where its first bytes want exactly what it has: one record.
	one bool
}

// searchBudget bounds, as a multiple of a block's size, how many bytes are hashed in search for the next record: content that was
// made to look like records everywhere must not take hours. Damage alone never comes near.
const searchBudget = 64

// scanBlock reads a block from its begin to its end. Damaged records do not keep it from reading those after them.
func (f *format) scanBlock(buf []byte) scan {
	var s scan
	budget := f.spent + searchBudget*len(buf) + 1<<20
	open := 0       // from this hole on it is not known what follows
	var kept []byte // what is kept, once something is not
	broken := false
	spoil := func(off int) {
		if !broken {
			broken, kept = true, append(make([]byte, 0, len(buf)+leastRecord), buf[:off]...)
		}
	}
	for off := 0; off < len(buf); {
		rec, ok := f.at(buf[off:])
		if !ok {
			next := f.search(buf, off, budget)
			raw, mendable := f.mend(buf[off:next])
			if !mendable {
				spoil(off)
				s.holes = append(s.holes, f.describe(buf[off:next], s.last))
				off = next
				continue
			}
			rec = f.read(raw, true)
		}
		if rec.mended {
			spoil(off)
			s.mended = append(s.mended, rec.seq)
		}
		if broken {
			kept = append(kept, rec.raw...)
		}
		off += len(rec.raw)
		for ; !rec.note && open < len(s.holes); open++ {
			s.holes[open].before = rec.seq
		}
		s.count(rec)
	}
	if broken {
		s.whole = kept
	}
	return s
}

func (s *scan) count(rec record) {
	if rec.seq == 0 {
		return
	}
	if !rec.note && (s.first == 0 || rec.seq < s.first) {
		s.first = rec.seq
	}
	if rec.seq > s.last {
		s.last, s.lastTime = rec.seq, rec.time
	}
	if !rec.note && !rec.erased {
		s.messages++
	}
}

// search returns where the next record begins after off, or the end of the block.
func (f *format) search(buf []byte, off, budget int) int {
	for next := off + 1; next+leastRecord <= len(buf) && f.spent < budget; next++ {
		if _, ok := f.at(buf[next:]); ok {
			return next
		}
	}
	return len(buf)
}

// earliest is a time before which there was no relay, in Unix nanoseconds.
const earliest = 1_700_000_000_000_000_000

// farthest is how far the number of a damaged record may be from the one before it to be believed.
const farthest = 1 << 20

// describe reads of a damaged record what can be read.
func (f *format) describe(raw []byte, last uint64) hole {
	le := binary.LittleEndian
	h := hole{size: len(raw), after: last, cut: true}
	if len(raw) < leastRecord || len(bytes.TrimLeft(raw, "\x00")) == 0 {
		return h
	}
	size := int(le.Uint32(raw) &^ headersBit)
	h.cut, h.one = size > len(raw), size == len(raw)
	if seq := le.Uint64(raw[4:]) &^ (erasedBit | deletedBit); seq > last && seq-last < farthest {
		h.seq = seq
		if at := int64(le.Uint64(raw[12:])); at > earliest && at < time.Now().UnixNano() { //nolint:gosec // as the server writes it
			h.time = at
		}
	}
	if n := int(le.Uint16(raw[20:])); headLen+n <= len(raw) && f.takes(raw[headLen:headLen+n]) && len(f.subjects) > 0 {
		h.subject = string(raw[headLen : headLen+n])
	}
	return h
}
