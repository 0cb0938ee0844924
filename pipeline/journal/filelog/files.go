package filelog

import (
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// mostOpen bounds how many segments are open for reading.
const mostOpen = 16

// files opens segments for reading and keeps some of them open.
type files struct {
	dir string

	mu    sync.Mutex
	open  []*handle // the one that was used last is last
	ended bool
}

// handle is an open segment. Who has it gives it back.
type handle struct {
	f     *os.File
	first uint64
	uses  int  // guarded by files.mu
	gone  bool // guarded by files.mu: to be closed after its last use

	mu     sync.Mutex
	places []place
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
	f, err := disk.OpenFile(filepath.Join(s.dir, segmentName(first)), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if len(s.open) >= mostOpen {
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

// drop is called with the lock held.
func (s *files) drop(h *handle) {
	s.open = slices.DeleteFunc(s.open, func(o *handle) bool { return o == h })
	h.gone = true
	if h.uses == 0 {
		_ = h.f.Close()
	}
}

// forget closes a segment whose file is another one now, or none.
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

// seek returns the place to begin at for a number.
func (h *handle) seek(dir string, number uint64, indexed bool) place {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.loaded && indexed {
		if info, err := h.f.Stat(); err == nil {
			if c, err := readIndex(dir, h.first, info.Size(), true); err == nil {
				h.places = c.places
			}
		}
		h.loaded = true
	}
	return findPlace(h.places, number)
}

// stale reports whether the segment has been replaced by another file.
func (h *handle) stale() bool {
	here, err := h.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(h.f.Name())
	return err == nil && !os.SameFile(here, there)
}

// learn adds a place to the index of a segment that has no file of it.
func (h *handle) learn(number uint64, off int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.places); n == 0 || number > h.places[n-1].number && off-h.places[n-1].off >= indexStep {
		h.places = append(h.places, place{number, off})
	}
}

// distrust drops the index of a segment whose bytes have moved.
func (h *handle) distrust() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.places, h.loaded = nil, true
}
