package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/treatrelay/relay/pipeline/journal"
)

// tailMagic starts the file of a table. Frames follow, each with a length, a checksum (CRC-32C) and an encoded [batch].
const tailMagic = "relayix8"

// maxFrame bounds the allocation for a damaged length.
const maxFrame = 64 << 20

var errTailDamaged = errors.New("damaged")

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// A batch is added to a table at once.
type batch struct {
	cover   []journal.Range
	names   []string // names of accounts
	records []record
	instead *run // the damaged run that it replaces; nil: none
	// written is true for entries that were just written. If the index already has such a number, it has read the same
	// entry from the log meanwhile.
	written bool
}

// A tailFile is the file of a table. It is appended to, and read at the next start. It is not synced: missing records
// are read from the log.
type tailFile struct {
	path  string
	file  *os.File // nil before the first write
	seq   uint64
	size  int64
	names map[uint64]bool // accounts named in the file
	buf   []byte
}

// write appends a batch. An error leaves the file unchanged.
func (t *tailFile) write(b *batch) error {
	if t.file == nil {
		f, err := os.OpenFile(t.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("create a file of the journal's index: %w", err)
		}
		t.file = f
	}
	out := append(t.buf[:0], make([]byte, 8)...)
	if t.size == 0 {
		out = append(append(out[:0], tailMagic...), make([]byte, 8)...)
	}
	body := len(out)
	out = b.append(out)
	binary.LittleEndian.PutUint32(out[body-8:], uint32(len(out)-body)) //nolint:gosec // a batch of the journal is bounded
	binary.LittleEndian.PutUint32(out[body-4:], checksum(out[body:]))
	t.buf = out
	if cap(out) > 1<<20 {
		t.buf = nil
	}
	if _, err := t.file.WriteAt(out, t.size); err != nil {
		return fmt.Errorf("write the index of the journal: %w", errors.Join(err, t.file.Truncate(t.size)))
	}
	t.size += int64(len(out))
	for _, name := range b.names {
		t.names[accountHash(name)] = true
	}
	return nil
}

func (b *batch) append(out []byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, uint32(len(b.cover))) //nolint:gosec // bounded
	for _, s := range b.cover {
		out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(out, s.First), s.Last)
	}
	out = appendNames(out, b.names)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(b.records))) //nolint:gosec // bounded
	for i := range b.records {
		out = appendRecord(out, &b.records[i])
	}
	return out
}

func appendNames(out []byte, names []string) []byte {
	out = binary.LittleEndian.AppendUint32(out, uint32(len(names))) //nolint:gosec // bounded
	for _, name := range names {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(name))) //nolint:gosec // bounded
		out = append(out, name...)
	}
	return out
}

// A decoder reads values from a buffer that has passed its checksum. It records if the buffer is too short.
type decoder struct {
	b    []byte
	fail bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.fail, d.b = true, nil
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) u32() int {
	if b := d.take(4); b != nil {
		return int(binary.LittleEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) ranges() (ranges []journal.Range) {
	for n := d.u32(); n > 0 && !d.fail; n-- {
		ranges = append(ranges, journal.Range{First: d.u64(), Last: d.u64()})
	}
	return ranges
}

func (d *decoder) names() (names []string) {
	for n := d.u32(); n > 0 && !d.fail; n-- {
		names = append(names, string(d.take(d.u32())))
	}
	return names
}

func (d *decoder) record() record {
	if b := d.take(recordSize); b != nil {
		return parseRecord(b)
	}
	return record{}
}

// read calls visit with each batch of the file and truncates an unreadable end. Then the error is errTailDamaged.
func (t *tailFile) read(visit func(*batch)) error {
	f, err := os.OpenFile(t.path, os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("read the index of the journal: %w", err)
	}
	t.file = f
	r := bufio.NewReaderSize(f, 256<<10)
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil || string(head) != tailMagic {
		return errors.Join(errTailDamaged, f.Truncate(0))
	}
	t.size = 8
	var body []byte
	for {
		if _, err := io.ReadFull(r, head); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			break
		}
		n := int(binary.LittleEndian.Uint32(head))
		if n > maxFrame {
			break
		}
		if cap(body) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil || checksum(body) != binary.LittleEndian.Uint32(head[4:]) {
			break
		}
		d := decoder{b: body}
		b := batch{cover: d.ranges(), names: d.names()}
		for n := d.u32(); n > 0 && !d.fail; n-- {
			b.records = append(b.records, d.record())
		}
		if d.fail {
			break
		}
		visit(&b)
		t.size += int64(8 + n)
		for _, name := range b.names {
			t.names[accountHash(name)] = true
		}
	}
	return errors.Join(errTailDamaged, f.Truncate(t.size))
}

// close closes the file.
func (t *tailFile) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
