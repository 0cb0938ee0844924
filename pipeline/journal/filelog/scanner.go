package filelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// scanner reads the frames of a segment in their order. It passes over what is no frame.
type scanner struct {
	r     io.ReaderAt
	size  int64  // how far it reads
	off   int64  // where the next item begins
	prev  uint64 // the number of the record before it
	limit uint64 // the highest number that a record may have
	chunk int    // how much is read at once
	keep  bool   // what was returned stays valid

	buf []byte
	at  int64 // where buf begins in the file
}

type itemKind uint8

const (
	itemEnd     itemKind = iota // nothing follows but zeroes, or records beyond the limit
	itemRecord                  // a frame with an entry
	itemControl                 // another frame
	itemBad                     // bytes that are no frame
)

// item is what a scanner finds. The body is valid until the next one, if the scanner does not keep it.
type item struct {
	kind itemKind
	off  int64
	size int64
	frame
}

// next returns what follows.
func (s *scanner) next() (item, error) {
	it := item{off: s.off}
	f, size, err := s.frameAt(s.off)
	if err != nil {
		return it, err
	}
	switch {
	case size == 0:
	case f.flags&flagControl != 0:
		it.kind, it.size, it.frame = itemControl, int64(size), f
		s.off += it.size
		return it, nil
	case f.number > s.limit:
		return it, nil
	case f.number > s.prev:
		it.kind, it.size, it.frame = itemRecord, int64(size), f
		s.off += it.size
		s.prev = f.number
		return it, nil
	}
	content, err := s.content(s.off)
	if err != nil || content >= s.size {
		return it, err
	}
	end, err := s.find(s.off + 1)
	if err != nil {
		return it, err
	}
	it.kind, it.size = itemBad, end-s.off
	s.off = end
	return it, nil
}

// frameAt reads the frame at off. Its size is 0 if there is none.
func (s *scanner) frameAt(off int64) (frame, int, error) {
	head, err := s.view(off, frameHeader)
	if err != nil || len(head) < frameHeader {
		return frame{}, 0, err
	}
	size := frameSize(head)
	if size == 0 {
		return frame{}, 0, nil
	}
	b, err := s.view(off, size)
	if err != nil || len(b) < size {
		return frame{}, 0, err
	}
	f, ok := parseFrame(b)
	if !ok {
		return frame{}, 0, nil
	}
	return f, size, nil
}

// content returns where something else than zeroes follows.
func (s *scanner) content(off int64) (int64, error) {
	for off < s.size {
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
	return s.size, nil
}

// find returns where the next record begins whose number and checksum fit, at off or later, or the end.
func (s *scanner) find(off int64) (int64, error) {
	for off+frameHeader <= s.size {
		b, err := s.view(off, 32<<10)
		if err != nil {
			return 0, err
		}
		if len(b) < frameHeader {
			break
		}
		n := len(b) - frameHeader + 1
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
		if size > 0 && f.flags&flagControl == 0 {
			return off, nil
		}
		off++
	}
	return s.size, nil
}

// fits reports whether b may begin with the header of a record that follows.
func (s *scanner) fits(b []byte) bool {
	n := frameNumber(b)
	return n > s.prev && n <= s.limit && frameSize(b) > 0
}

// view returns n bytes at off, or less at the end.
func (s *scanner) view(off int64, n int) ([]byte, error) {
	n = int(max(min(int64(n), s.size-off), 0))
	if i := off - s.at; i >= 0 && i+int64(n) <= int64(len(s.buf)) {
		return s.buf[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, s.chunk)), s.size-off))
	if s.keep || cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.at = s.buf[:want], off
	got, err := readAt(s.r, s.buf, off)
	s.buf = s.buf[:got]
	if err != nil {
		return nil, err
	}
	if got < want { // the file is shorter
		s.size = off + int64(got)
	}
	return s.buf[:min(n, got)], nil
}

// readAt reads what there is at off. Where the disk cannot read, it reads around it in small blocks, and zeroes take the place of what is not readable.
func readAt(r io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := r.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, nil
	}
	if errors.Is(err, fs.ErrClosed) {
		return 0, err
	}
	const block = 4 << 10
	good := 0
	for at := 0; at < len(b); {
		end := min(at+block-int((off+int64(at))%block), len(b))
		n, blockErr := r.ReadAt(b[at:end], off+int64(at))
		switch {
		case blockErr == nil:
			good++
		case errors.Is(blockErr, io.EOF):
			return at + n, nil
		default:
			clear(b[at:end])
		}
		at = end
	}
	if good == 0 {
		return 0, fmt.Errorf("read at %d: %w", off, err)
	}
	return len(b), nil
}
