package filelog

import (
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// maxOpen bounds the number of segments that are open for reading.
const maxOpen = 16

// files opens segments for reading and keeps the recently used ones open.
type files struct {
	dir string

	mu    sync.Mutex
	open  []*handle // least recently used first
	ended bool
}

// handle is an open segment. Each acquire needs a release.
type handle struct {
	f     *os.File
	first uint64
	uses  int  // guarded by files.mu
	gone  bool // guarded by files.mu: close it after its last use

	mu     sync.Mutex
	places []segment.IndexEntry
	loaded bool
}

func (s *files) acquire(first uint64) (*handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.open, func(h *handle) bool { return h.first == first }); i >= 0 {
		h := s.open[i]
		s.open = append(slices.Delete(s.open, i, i+1), h)
		h.uses++
		return h, nil
	}
	f, err := disk.OpenFile(filepath.Join(s.dir, segment.Name(first)), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if len(s.open) >= maxOpen {
		s.drop(s.open[0])
	}
	h := &handle{f: f, first: first, uses: 1}
	if s.ended {
		h.gone = true
	} else {
		s.open = append(s.open, h)
	}
	return h, nil
}

func (s *files) release(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.uses--
	if h.gone && h.uses == 0 {
		_ = h.f.Close()
	}
}

// drop closes a handle once it is not in use. s.mu is held.
func (s *files) drop(h *handle) {
	s.open = slices.DeleteFunc(s.open, func(o *handle) bool { return o == h })
	h.gone = true
	if h.uses == 0 {
		_ = h.f.Close()
	}
}

// forget closes the handles of a segment whose file was replaced or removed.
func (s *files) forget(first uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.Clone(s.open) {
		if h.first == first {
			s.drop(h)
		}
	}
}

func (s *files) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, h := range slices.Clone(s.open) {
		s.drop(h)
	}
}

// seek returns the index entry to start reading at for a number.
func (h *handle) seek(dir string, number uint64, indexed bool) segment.IndexEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded && indexed {
		if info, err := h.f.Stat(); err == nil {
			if c, err := segment.ReadIndex(dir, h.first, info.Size(), true); err == nil {
				h.places = c.Entries
			}
		}
		h.loaded = true
	}
	return segment.FindEntry(h.places, number)
}

// stale reports whether another file has replaced the segment.
func (h *handle) stale() bool {
	here, err := h.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(h.f.Name())
	return err == nil && !os.SameFile(here, there)
}

// learn adds an index entry of a segment that has no index file.
func (h *handle) learn(number uint64, off int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.places); n == 0 || number > h.places[n-1].Number && off-h.places[n-1].Offset >= segment.IndexStep {
		h.places = append(h.places, segment.IndexEntry{Number: number, Offset: off})
	}
}

// discardIndex drops an index that does not match the segment.
func (h *handle) discardIndex() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places, h.loaded = nil, true
}
