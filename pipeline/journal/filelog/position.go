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

// position is what the writer says about itself, for its next start and for other processes.
type position struct {
	last   uint64 // the newest number that was given: everything up to it was synced
	active uint64 // the segment that is written to
	oldest uint64 // the oldest segment
}

// positionFile holds a position twice, of which the older one is overwritten. It is written after each sync of the log, and itself synced only now and then: a
// process that is killed loses nothing of it, and after a power cut it is too old, but never too new.
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

// read returns the newer position that is whole, and false if none is.
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

// write stores a position in the slot that is not in use.
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
