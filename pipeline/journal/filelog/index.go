package filelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	indexMagic  = "relayidx\x01"
	indexHeader = 80
	// indexStep is how far apart the places of an index are.
	indexStep = 32 << 10
	placeSize = 16
)

// place says where a record is.
type place struct {
	number uint64
	off    int64
}

// contents is what is known of a sealed segment. The file beside it, the index, holds it.
type contents struct {
	first, last    uint64 // last is first-1 if it holds nothing
	count          uint64
	size           int64
	oldest, newest time.Time
	sum            uint32 // CRC32C of the whole segment
	places         []place
}

// note takes a record into account.
func (c *contents) note(number uint64, off int64, at time.Time) {
	if c.count == 0 {
		c.oldest = at
	}
	c.count++
	c.last = number
	if at.After(c.newest) {
		c.newest = at
	}
	if n := len(c.places); n == 0 || off-c.places[n-1].off >= indexStep {
		c.places = append(c.places, place{number, off})
	}
}

const indexSuffix = ".idx"

func indexName(first uint64) string { return fmt.Sprintf("%020d%s", first, indexSuffix) }

// marshal returns the index file: a header with a checksum, and the places with one of theirs.
func (c *contents) marshal() []byte {
	b := make([]byte, indexHeader, indexHeader+len(c.places)*placeSize)
	copy(b[4:], indexMagic)
	binary.LittleEndian.PutUint64(b[16:], c.first)
	binary.LittleEndian.PutUint64(b[24:], c.last)
	binary.LittleEndian.PutUint64(b[32:], c.count)
	binary.LittleEndian.PutUint64(b[40:], uint64(c.size)) //nolint:gosec // not negative
	binary.LittleEndian.PutUint64(b[48:], uint64(c.oldest.UnixNano()))
	binary.LittleEndian.PutUint64(b[56:], uint64(c.newest.UnixNano()))
	binary.LittleEndian.PutUint32(b[64:], c.sum)
	binary.LittleEndian.PutUint32(b[68:], uint32(len(c.places))) //nolint:gosec // small
	for _, p := range c.places {
		b = binary.LittleEndian.AppendUint64(b, p.number)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.off)) //nolint:gosec // not negative
	}
	binary.LittleEndian.PutUint32(b[72:], disk.Checksum(b[indexHeader:]))
	binary.LittleEndian.PutUint32(b, disk.Checksum(b[4:indexHeader]))
	return b
}

var errIndex = errors.New("not the index of this segment")

// readIndex reads the index of a segment of this size. Without places it reads only the header.
func readIndex(dir string, first uint64, size int64, places bool) (c contents, err error) {
	f, err := disk.OpenFile(filepath.Join(dir, indexName(first)), os.O_RDONLY)
	if err != nil {
		return c, err
	}
	defer func() { _ = f.Close() }()
	return parseIndex(f, first, size, places)
}

func parseIndex(r io.ReaderAt, first uint64, size int64, places bool) (c contents, err error) {
	var b [indexHeader]byte
	if n, _ := r.ReadAt(b[:], 0); n < len(b) || string(b[4:4+len(indexMagic)]) != indexMagic ||
		binary.LittleEndian.Uint32(b[:]) != disk.Checksum(b[4:]) {
		return c, errIndex
	}
	c.first, c.last, c.count = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	c.size = int64(binary.LittleEndian.Uint64(b[40:]))                       //nolint:gosec // as it was written
	c.oldest = time.Unix(0, int64(binary.LittleEndian.Uint64(b[48:]))).UTC() //nolint:gosec // as it was written
	c.newest = time.Unix(0, int64(binary.LittleEndian.Uint64(b[56:]))).UTC() //nolint:gosec // as it was written
	c.sum = binary.LittleEndian.Uint32(b[64:])
	n := int(binary.LittleEndian.Uint32(b[68:]))
	if c.first != first || c.size != size || int64(n) > c.size/frame.HeaderSize {
		return c, errIndex
	}
	if !places {
		return c, nil
	}
	raw := make([]byte, n*placeSize)
	if got, _ := r.ReadAt(raw, indexHeader); got < len(raw) || binary.LittleEndian.Uint32(b[72:]) != disk.Checksum(raw) {
		return c, errIndex
	}
	c.places = make([]place, n)
	for i := range c.places {
		p := raw[i*placeSize:]
		c.places[i] = place{binary.LittleEndian.Uint64(p), int64(binary.LittleEndian.Uint64(p[8:]))} //nolint:gosec // as it was written
	}
	return c, nil
}
