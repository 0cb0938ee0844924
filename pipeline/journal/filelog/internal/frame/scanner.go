package frame

import (
	"io"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// Scanner reads the frames of a segment in order. It reports bytes that are not a frame as [KindBad].
type Scanner struct {
	R     io.ReaderAt
	Size  int64  // where it stops
	Off   int64  // where the next item begins
	Prev  uint64 // the number of the previous record
	Limit uint64 // the highest number that a record may have
	Chunk int    // bytes per read
	Keep  bool   // returned items stay valid

	buf []byte
	at  int64 // offset of buf in the file
}

// Kind is the kind of an [Item].
type Kind uint8

// The kinds of items.
const (
	KindEnd     Kind = iota // only zeroes follow, or records beyond the limit
	KindRecord              // a frame with an entry
	KindControl             // a frame without an entry
	KindBad                 // bytes that are not a frame
)

// Item is something that a scanner finds. Unless the scanner has Keep set, its body is valid until the next call of Next.
type Item struct {
	Kind Kind
	Off  int64
	Size int64
	Frame
}

// Next returns the next item.
func (s *Scanner) Next() (Item, error) {
	it := Item{Off: s.Off}
	f, size, err := s.frameAt(s.Off)
	if err != nil {
		return it, err
	}
	switch {
	case size == 0:
	case f.Flags&FlagControl != 0:
		it.Kind, it.Size, it.Frame = KindControl, int64(size), f
		s.Off += it.Size
		return it, nil
	case f.Number > s.Limit:
		return it, nil
	case f.Number > s.Prev:
		it.Kind, it.Size, it.Frame = KindRecord, int64(size), f
		s.Off += it.Size
		s.Prev = f.Number
		return it, nil
	}
	content, err := s.content(s.Off)
	if err != nil || content >= s.Size {
		return it, err
	}
	end, err := s.find(s.Off + 1)
	if err != nil {
		return it, err
	}
	it.Kind, it.Size = KindBad, end-s.Off
	s.Off = end
	return it, nil
}

// Begins reports whether a frame with that number seems to begin at off. It does not check the checksum.
func (s *Scanner) Begins(number uint64, off int64) bool {
	head, err := s.view(off, HeaderSize)
	return err == nil && len(head) == HeaderSize && Number(head) == number && Size(head) > 0
}

// frameAt reads the frame at off. The size is 0 if there is none.
func (s *Scanner) frameAt(off int64) (Frame, int, error) {
	head, err := s.view(off, HeaderSize)
	if err != nil || len(head) < HeaderSize {
		return Frame{}, 0, err
	}
	size := Size(head)
	if size == 0 {
		return Frame{}, 0, nil
	}
	b, err := s.view(off, size)
	if err != nil || len(b) < size {
		return Frame{}, 0, err
	}
	f, ok := Parse(b)
	if !ok {
		return Frame{}, 0, nil
	}
	return f, size, nil
}

// content returns the offset of the next byte that is not zero, or the end.
func (s *Scanner) content(off int64) (int64, error) {
	for off < s.Size {
		b, err := s.view(off, 4<<10)
		if err != nil {
			return 0, err
		}
		for i := range b {
			if b[i] != 0 {
				return off + int64(i), nil
			}
		}
		if len(b) == 0 {
			break
		}
		off += int64(len(b))
	}
	return s.Size, nil
}

// find returns the offset of the next record with the right number and checksum at off or later, or the end.
func (s *Scanner) find(off int64) (int64, error) {
	for off+HeaderSize <= s.Size {
		b, err := s.view(off, 32<<10)
		if err != nil {
			return 0, err
		}
		if len(b) < HeaderSize {
			break
		}
		n := len(b) - HeaderSize + 1
		i := 0
		for i < n && !s.fits(b[i:]) {
			i++
		}
		off += int64(i)
		if i == n {
			continue
		}
		f, size, err := s.frameAt(off)
		if err != nil {
			return 0, err
		}
		if size > 0 && f.Flags&FlagControl == 0 {
			return off, nil
		}
		off++
	}
	return s.Size, nil
}

// fits reports whether b may begin with the header of a later record.
func (s *Scanner) fits(b []byte) bool {
	n := Number(b)
	return n > s.Prev && n <= s.Limit && Size(b) > 0
}

// view returns n bytes at off, or fewer at the end.
func (s *Scanner) view(off int64, n int) ([]byte, error) {
	n = int(max(min(int64(n), s.Size-off), 0))
	if i := off - s.at; i >= 0 && i+int64(n) <= int64(len(s.buf)) {
		return s.buf[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, s.Chunk)), s.Size-off))
	if s.Keep || cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.at = s.buf[:want], off
	got, err := disk.ReadAt(s.R, s.buf, off)
	s.buf = s.buf[:got]
	if err != nil {
		return nil, err
	}
	if got < want { // the file has shrunk
		s.Size = off + int64(got)
	}
	return s.buf[:min(n, got)], nil
}
