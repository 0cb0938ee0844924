package cursor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/internal/atomicfile"
)

// A slotFile stores a value in two slots that are written in turn, so that an interrupted write leaves the previous
// value. Each slot has a header: magic, generation, length and a checksum over everything. The file has the size of two
// slots. A value that outgrows them goes to a larger file.
type slotFile struct {
	path string
	file *os.File
	size int64 // of one slot
	turn int64 // the slot to write next
	buf  []byte
}

const (
	slotMagic  = "rlycur01"
	slotHeader = len(slotMagic) + 8 + 4 + 4
	slotLeast  = 4096
	slotLimit  = 256 << 20
)

var errNoSlot = errors.New("no slot of it is whole")

// readSlots returns the newest intact value, wherever it is in the file. The error is errNoSlot if there is none.
func readSlots(path string) (value []byte, generation uint64, err error) {
	f, err := os.Open(path) //nolint:gosec // the path is the caller's
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() //nolint:errcheck // opened for reading only
	data, err := io.ReadAll(io.LimitReader(f, 2*slotLimit))
	if err != nil {
		return nil, 0, err
	}
	found := false
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte(slotMagic))
		if i < 0 {
			break
		}
		at += i
		if v, g, ok := parseSlot(data[at:]); ok && (!found || g > generation) {
			value, generation, found = v, g, true
		}
	}
	if !found {
		return nil, 0, errNoSlot
	}
	return value, generation, nil
}

func parseSlot(b []byte) (value []byte, generation uint64, ok bool) {
	if len(b) < slotHeader {
		return nil, 0, false
	}
	head := b[len(slotMagic):]
	generation, size, sum := binary.LittleEndian.Uint64(head), binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
	if int64(size) > int64(len(b)-slotHeader) {
		return nil, 0, false
	}
	value = b[slotHeader : slotHeader+int(size)]
	return value, generation, slotSum(b[:slotHeader-4], value) == sum
}

func slotSum(head, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head, table), table, value)
}

// write stores a value. Without a sync it survives the end of the process; after a power failure, the last synced value
// is there.
func (s *slotFile) write(value []byte, generation uint64, sync bool) error {
	if len(value) > slotLimit-slotHeader {
		return fmt.Errorf("it is %d bytes, and at most %d can be kept", len(value), slotLimit)
	}
	s.buf = append(s.buf[:0], slotMagic...)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, generation)
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(len(value))) //nolint:gosec // at most slotLimit
	s.buf = binary.LittleEndian.AppendUint32(s.buf, slotSum(s.buf, value))
	s.buf = append(s.buf, value...)
	if s.file == nil || int64(len(s.buf)) > s.size {
		return s.replace()
	}
	if _, err := s.file.WriteAt(s.buf, s.turn*s.size); err != nil {
		return err
	}
	if !sync {
		return nil // the next write goes to the same slot
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	s.turn = 1 - s.turn
	return nil
}

// replace creates a new file with slots of twice the size needed now, and writes the value to its first slot.
func (s *slotFile) replace() error {
	size := int64(slotLeast)
	for size < 2*int64(len(s.buf)) {
		size *= 2
	}
	whole := make([]byte, 2*size) // written zeroes reserve the space for later writes
	copy(whole, s.buf)
	fresh := s.path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeFile(fresh, whole); err != nil {
		return err
	}
	s.close() // some systems cannot replace an open file
	if err := os.Rename(fresh, s.path); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.file, s.size, s.turn = f, size, 1
	return nil
}

// writeFile creates a file durably.
func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the caller's
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (s *slotFile) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
