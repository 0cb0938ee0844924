package journalfiles

import (
	"encoding/binary"
	"errors"
)

// A cursor is how far a consumer has come, as the file o.dat keeps it (server/store.go, encodeConsumerState). It has no checksum.
type cursor struct {
	acked     uint64 // everything up to this number is acknowledged
	delivered uint64 // everything up to this number was handed out
}

const (
	cursorMagic   = 22
	cursorVersion = 2
)

var errCursor = errors.New("its content makes no sense")

// readCursor reads the file of a consumer. Strict says that it acknowledges each message by itself and gives none up, as relay's
// lanes do: more can be checked then.
func readCursor(buf []byte, strict bool) (cursor, error) {
	if len(buf) < 2 || buf[0] != cursorMagic || buf[1] != cursorVersion {
		return cursor{}, errCursor
	}
	r := varints{rest: buf[2:]}
	ackedBy, acked := r.next(), r.next()
	deliveredBy, delivered := r.next(), r.next()
	waiting := r.next()
	if r.bad || acked > delivered || ackedBy > deliveredBy || delivered > 1<<56 || waiting > delivered-acked || waiting > uint64(len(buf)) {
		return cursor{}, errCursor
	}
	if waiting > 0 {
		r.signed()
	}
	seen := make(map[uint64]bool, waiting)
	for range waiting {
		seq, by := r.next(), r.next()
		r.signed()
		if seq == 0 || seq > delivered-acked || strict && (by == 0 || by > deliveredBy-ackedBy) || seen[seq] {
			return cursor{}, errCursor
		}
		seen[seq] = true
	}
	again := r.next()
	if again > uint64(len(buf)) {
		return cursor{}, errCursor
	}
	for range again {
		r.next()
		r.next()
	}
	// The server moves both ends together when the last message that waits is acknowledged.
	if r.bad || len(r.rest) > 0 || strict && waiting == 0 && acked != delivered {
		return cursor{}, errCursor
	}
	return cursor{acked: acked, delivered: delivered}, nil
}

// varints reads numbers of varying length, each spelled in the shortest way.
type varints struct {
	rest []byte
	bad  bool
}

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.rest)
	return v.took(n, size)
}

func (v *varints) signed() int64 {
	n, size := binary.Varint(v.rest)
	v.took(0, size)
	return n
}

func (v *varints) took(n uint64, size int) uint64 {
	if v.bad || size <= 0 || size > 1 && v.rest[size-1] == 0 {
		v.bad = true
		return 0
	}
	v.rest = v.rest[size:]
	return n
}
