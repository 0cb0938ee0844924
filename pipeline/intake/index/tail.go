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

// tailMagic begins the file of a table: frames of a length and a checksum (CRC-32C), and in them a [batch].
const tailMagic = "relayix8"

// maxFrame bounds what a damaged length can ask for.
const maxFrame = 64 << 20

var errTailDamaged = errors.New("damaged")

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// A batch is what is added to a table at once.
type batch struct {
	cover   []journal.Span
	names   []string // accounts
	records []record
	instead *run // which it takes the place of; nil: of none
	// written: it was written just now. Then a number that the index has is that of the same entry, read from the log meanwhile, unless the log
	// has given it twice, which it should not.
	written bool
}

// A tailFile is the file of a table. It is appended to, and read at the next start. It is not synced: what is missing is read from the log.
type tailFile struct {
	path  string
	file  *os.File // nil until something is written
	seq   uint64
	size  int64
	names map[uint64]bool // the accounts that the file names
	buf   []byte
}

// write appends a batch. After an error the file is as it was.
func (t *tailFile) write(b *batch) error {
	if t.file == nil {
		f, err := os.OpenFile(t.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return fmt.Errorf("make the index of the journal: %w", err)
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

// A decoder takes numbers and texts off a text that was checked by its checksum. It notes if there are fewer.
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

func (d *decoder) spans() (spans []journal.Span) {
	for n := d.u32(); n > 0 && !d.fail; n-- {
		spans = append(spans, journal.Span{First: d.u64(), Last: d.u64()})
	}
	return spans
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

// read calls visit with the batches of the file, and cuts off what cannot be read at its end. The error is then an errTailDamaged.
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
		b := batch{cover: d.spans(), names: d.names()}
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
