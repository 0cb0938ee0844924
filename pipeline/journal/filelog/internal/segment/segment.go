// Package segment is the format of the log's segment files and their indexes: how to write, read and check one. It does
// not know which segments a log has. Start reading at [Survey] for a sealed segment, and at [ReadTail] for the last
// one.
package segment

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
	// Suffix is the extension of a segment file.
	Suffix = ".log"
	// magic is the body of a segment's first frame. Its last byte is the version of the format.
	magic = "relay.journal\x01"
)

var errVersion = errors.New("it was written by a newer version of relay, or by something else")

// Name returns the file name of the segment that starts at a number.
func Name(first uint64) string { return fmt.Sprintf("%020d%s", first, Suffix) }

// Header returns the first frame of a segment.
func Header(first uint64) []byte {
	b := append(make([]byte, frame.HeaderSize), magic...)
	frame.Finish(b, first, frame.FlagControl|frame.FlagSynced)
	return b
}

// HeaderSize is the size of [Header] in bytes.
const HeaderSize = int64(frame.HeaderSize + len(magic))

// CheckHeader returns an error if a segment has an intact header of another format. It ignores damage.
func CheckHeader(r io.ReaderAt) error {
	var b [HeaderSize]byte
	if n, _ := r.ReadAt(b[:], 0); int64(n) < HeaderSize || frame.Size(b[:]) != len(b) {
		return nil
	}
	if f, ok := frame.Parse(b[:]); ok && f.Flags&frame.FlagControl != 0 && string(f.Body) != magic {
		return errVersion
	}
	return nil
}

// File is a segment file in a folder.
type File struct {
	First uint64
	Size  int64
}

// List returns the segments of a folder, sorted by number.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []File
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), Suffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || e.Name() != Name(first) || first == 0 {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // just dropped
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", filepath.Join(dir, e.Name()))
		}
		list = append(list, File{first, info.Size()})
	}
	slices.SortFunc(list, func(a, b File) int { return cmp.Compare(a.First, b.First) })
	return list, nil
}

// Survey reads a sealed segment up to the number last. It calls lost for each loss.
func Survey(r io.ReaderAt, first, last uint64, size int64, lost func(Loss)) (Contents, error) {
	c := Contents{First: first, Last: first - 1, Size: size, Newest: time.Unix(0, 0).UTC(), Oldest: time.Unix(0, 0).UTC()}
	sum := &summing{r: r}
	s := &frame.Scanner{R: sum, Size: size, Prev: first - 1, Limit: last, Chunk: 1 << 20}
	err := Walk(s, first, last, func(it *frame.Item) (bool, error) {
		c.Add(it.Number, it.Off, RecordTime(it))
		return true, nil
	}, lost)
	if err == nil {
		err = sum.rest(size)
	}
	c.Sum = sum.sum
	return c, err
}

// summing computes the checksum of a file that is read from the start, also if parts are read twice.
type summing struct {
	r   io.ReaderAt
	sum uint32
	off int64 // the checksum covers the bytes before it
}

func (s *summing) ReadAt(b []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(b, off)
	if skip := s.off - off; skip >= 0 && skip < int64(n) {
		s.sum = disk.UpdateChecksum(s.sum, b[skip:n])
		s.off = off + int64(n)
	}
	return n, err
}

// rest adds the bytes that were not read.
func (s *summing) rest(size int64) error {
	b := make([]byte, 64<<10)
	for s.off < size {
		at := s.off
		n, err := disk.ReadAt(s, b[:min(int64(len(b)), size-at)], at)
		if err != nil || n == 0 {
			return err
		}
		s.off = max(s.off, at+int64(n)) // even if the block is unreadable
	}
	return nil
}
