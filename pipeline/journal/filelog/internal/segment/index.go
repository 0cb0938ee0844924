package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	indexMagic  = "relayidx\x01"
	indexHeader = 80
	// IndexStep is the distance between the entries of an index in bytes.
	IndexStep = 32 << 10
	placeSize = 16
)

// IndexEntry is the position of a record in a segment.
type IndexEntry struct {
	Number uint64
	Offset int64
}

// Contents describes a sealed segment. Its index file holds it.
type Contents struct {
	First, Last    uint64 // Last is First-1 if the segment is empty
	Count          uint64
	Size           int64
	Oldest, Newest time.Time
	Sum            uint32 // CRC32C of the whole segment
	Entries        []IndexEntry
}

// Add adds the next record.
func (c *Contents) Add(number uint64, off int64, at time.Time) {
	if c.Count == 0 {
		c.Oldest = at
	}
	c.Count++
	c.Last = number
	if at.After(c.Newest) {
		c.Newest = at
	}
	if n := len(c.Entries); n == 0 || off-c.Entries[n-1].Offset >= IndexStep {
		c.Entries = append(c.Entries, IndexEntry{number, off})
	}
}

// IndexSuffix is the extension of an index file.
const IndexSuffix = ".idx"

// IndexName returns the file name of the index of a segment.
func IndexName(first uint64) string { return fmt.Sprintf("%020d%s", first, IndexSuffix) }

// Marshal encodes the index file: a header and the entries, each with a checksum.
func (c *Contents) Marshal() []byte {
	b := make([]byte, indexHeader, indexHeader+len(c.Entries)*placeSize)
	copy(b[4:], indexMagic)
	binary.LittleEndian.PutUint64(b[16:], c.First)
	binary.LittleEndian.PutUint64(b[24:], c.Last)
	binary.LittleEndian.PutUint64(b[32:], c.Count)
	binary.LittleEndian.PutUint64(b[40:], uint64(c.Size)) //nolint:gosec // not negative
	binary.LittleEndian.PutUint64(b[48:], uint64(c.Oldest.UnixNano()))
	binary.LittleEndian.PutUint64(b[56:], uint64(c.Newest.UnixNano()))
	binary.LittleEndian.PutUint32(b[64:], c.Sum)
	binary.LittleEndian.PutUint32(b[68:], uint32(len(c.Entries))) //nolint:gosec // small
	for _, p := range c.Entries {
		b = binary.LittleEndian.AppendUint64(b, p.Number)
		b = binary.LittleEndian.AppendUint64(b, uint64(p.Offset)) //nolint:gosec // not negative
	}
	binary.LittleEndian.PutUint32(b[72:], disk.Checksum(b[indexHeader:]))
	binary.LittleEndian.PutUint32(b, disk.Checksum(b[4:indexHeader]))
	return b
}

// ErrIndex means that an index does not belong to the segment or is damaged.
var ErrIndex = errors.New("not the index of this segment")

// ReadIndex reads the index of a segment of the given size. Unless entries is set, it reads only the header.
func ReadIndex(dir string, first uint64, size int64, entries bool) (c Contents, err error) {
	f, err := disk.OpenFile(filepath.Join(dir, IndexName(first)), os.O_RDONLY)
	if err != nil {
		return c, err
	}
	defer func() { _ = f.Close() }()
	return ParseIndex(f, first, size, entries)
}

// ParseIndex decodes an index like [ReadIndex].
func ParseIndex(r io.ReaderAt, first uint64, size int64, entries bool) (c Contents, err error) {
	var b [indexHeader]byte
	if n, _ := r.ReadAt(b[:], 0); n < len(b) || string(b[4:4+len(indexMagic)]) != indexMagic ||
		binary.LittleEndian.Uint32(b[:]) != disk.Checksum(b[4:]) {
		return c, ErrIndex
	}
	c.First, c.Last, c.Count = binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	c.Size = int64(binary.LittleEndian.Uint64(b[40:]))                       //nolint:gosec // as it was written
	c.Oldest = time.Unix(0, int64(binary.LittleEndian.Uint64(b[48:]))).UTC() //nolint:gosec // as it was written
	c.Newest = time.Unix(0, int64(binary.LittleEndian.Uint64(b[56:]))).UTC() //nolint:gosec // as it was written
	c.Sum = binary.LittleEndian.Uint32(b[64:])
	n := int(binary.LittleEndian.Uint32(b[68:]))
	if c.First != first || c.Size != size || int64(n) > c.Size/frame.HeaderSize {
		return c, ErrIndex
	}
	if !entries {
		return c, nil
	}
	raw := make([]byte, n*placeSize)
	if got, _ := r.ReadAt(raw, indexHeader); got < len(raw) || binary.LittleEndian.Uint32(b[72:]) != disk.Checksum(raw) {
		return c, ErrIndex
	}
	c.Entries = make([]IndexEntry, n)
	for i := range c.Entries {
		p := raw[i*placeSize:]
		c.Entries[i] = IndexEntry{binary.LittleEndian.Uint64(p), int64(binary.LittleEndian.Uint64(p[8:]))} //nolint:gosec // as it was written
	}
	return c, nil
}

// FindEntry returns the last entry at or before a number, and the zero entry if there is none.
func FindEntry(entries []IndexEntry, number uint64) IndexEntry {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Number > number }) - 1
	if i < 0 {
		return IndexEntry{}
	}
	return entries[i]
}
