package filelog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	segmentSuffix   = ".log"
	temporarySuffix = ".tmp"
	// segmentMagic is the body of a segment's first frame. Its last byte is the version of the form.
	segmentMagic = "relay.journal\x01"
)

var errVersion = errors.New("it was written by a newer version of relay, or by something else")

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// segmentHeader is the frame that a segment begins with.
func segmentHeader(first uint64) []byte {
	b := append(make([]byte, frame.HeaderSize), segmentMagic...)
	frame.Finish(b, first, frame.FlagControl|frame.FlagSynced)
	return b
}

const headerSize = int64(frame.HeaderSize + len(segmentMagic))

// checkHeader returns an error if a segment is whole but in another form. Damage is not its business.
func checkHeader(r io.ReaderAt) error {
	var b [headerSize]byte
	if n, _ := r.ReadAt(b[:], 0); int64(n) < headerSize || frame.Size(b[:]) != len(b) {
		return nil
	}
	if f, ok := frame.Parse(b[:]); ok && f.Flags&frame.FlagControl != 0 && string(f.Body) != segmentMagic {
		return errVersion
	}
	return nil
}

// segmentFile is a segment as the folder has it.
type segmentFile struct {
	first uint64
	size  int64
}

// listSegments returns the segments of a folder in order.
func listSegments(dir string) ([]segmentFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []segmentFile
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || e.Name() != segmentName(first) || first == 0 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", filepath.Join(dir, e.Name()))
		}
		list = append(list, segmentFile{first, info.Size()})
	}
	slices.SortFunc(list, func(a, b segmentFile) int { return cmp.Compare(a.first, b.first) })
	return list, nil
}

// survey reads a sealed segment, up to the number last.
func survey(r io.ReaderAt, first, last uint64, size int64, lost func(loss)) (contents, error) {
	c := contents{first: first, last: first - 1, size: size, newest: time.Unix(0, 0).UTC(), oldest: time.Unix(0, 0).UTC()}
	sum := &summing{r: r}
	s := &frame.Scanner{R: sum, Size: size, Prev: first - 1, Limit: last, Chunk: 1 << 20}
	err := walk(s, first, last, func(it *frame.Item) (bool, error) {
		c.note(it.Number, it.Off, recordTime(it))
		return true, nil
	}, lost)
	if err == nil {
		err = sum.rest(size)
	}
	c.sum = sum.sum
	return c, err
}

// summing computes the checksum of a file that is read from its beginning on, whatever is read twice.
type summing struct {
	r   io.ReaderAt
	sum uint32
	off int64 // up to where it is summed
}

func (s *summing) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(b, off)
	if skip := s.off - off; skip >= 0 && skip < int64(n) {
		s.sum = disk.UpdateChecksum(s.sum, b[skip:n])
		s.off = off + int64(n)
	}
	return n, err
}

// rest sums what was not read.
func (s *summing) rest(size int64) error {
	b := make([]byte, 64<<10)
	for s.off < size {
		at := s.off
		n, err := disk.ReadAt(s, b[:min(int64(len(b)), size-at)], at)
		if err != nil || n == 0 {
			return err
		}
		s.off = max(s.off, at+int64(n)) // also if it is not readable
	}
	return nil
}
