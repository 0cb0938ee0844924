package filelog

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	positionName  = "position"
	positionMagic = 0x31736f70 // "pos1"
	slotSize      = 48
	slotStride    = 512
)

// position is the progress of the writer, for its next start and for readers in other processes.
type position struct {
	last   uint64 // the newest number: everything up to it is synced
	active uint64 // the first number of the active segment
	oldest uint64 // the first number of the oldest segment
}

// positionFile has two slots for a position and overwrites the older one. It is written after each sync of the log, but
// rarely synced itself. A killed process loses nothing; after a power failure the position may be too old, never too new.
type positionFile struct {
	f     *os.File
	count uint64
}

func openPosition(dir string, flag int) (*positionFile, error) {
	f, err := disk.OpenFile(filepath.Join(dir, positionName), flag)
	if err != nil {
		return nil, err
	}
	return &positionFile{f: f}, nil
}

// read returns the newer intact position. It reports false if there is none.
func (p *positionFile) read() (at position, ok bool) {
	if p.f == nil {
		return at, false
	}
	var b [slotStride + slotSize]byte
	n, _ := p.f.ReadAt(b[:], 0)
	count := uint64(0)
	for off := 0; off+slotSize <= n; off += slotStride {
		s := b[off : off+slotSize]
		if binary.LittleEndian.Uint32(s[4:]) != positionMagic || binary.LittleEndian.Uint32(s) != disk.Checksum(s[4:]) {
			continue
		}
		c := binary.LittleEndian.Uint64(s[8:])
		if ok && c <= count {
			continue
		}
		count, ok = c, true
		at = position{
			last: binary.LittleEndian.Uint64(s[16:]), active: binary.LittleEndian.Uint64(s[24:]), oldest: binary.LittleEndian.Uint64(s[32:]),
		}
	}
	p.count = max(p.count, count)
	return at, ok
}

// write stores a position in the older slot.
func (p *positionFile) write(at position) error {
	p.count++
	var s [slotSize]byte
	binary.LittleEndian.PutUint32(s[4:], positionMagic)
	binary.LittleEndian.PutUint64(s[8:], p.count)
	binary.LittleEndian.PutUint64(s[16:], at.last)
	binary.LittleEndian.PutUint64(s[24:], at.active)
	binary.LittleEndian.PutUint64(s[32:], at.oldest)
	binary.LittleEndian.PutUint32(s[:], disk.Checksum(s[4:]))
	if _, err := p.f.WriteAt(s[:], int64(p.count%2)*slotStride); err != nil {
		return fmt.Errorf("write the position: %w", err)
	}
	return nil
}

func (p *positionFile) close() {
	if p.f != nil {
		_ = p.f.Close()
	}
}
