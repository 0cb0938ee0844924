package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

const (
	// readBytes is the approximate number of bytes that one Read returns.
	readBytes = 4 << 20
	minChunk  = 8 << 10
	// firstGuess is the assumed size of a record before any was read.
	firstGuess = 1 << 10
)

// hints remembers where reads ended, since the next ones mostly continue there.
type hints struct {
	mu    sync.Mutex
	ring  [16]hint
	last  int
	guess int // average size of the records of the last read
}

type hint struct {
	segment uint64
	segment.IndexEntry
}

func (h *hints) find(first, number uint64) (segment.IndexEntry, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, have := range h.ring {
		if have.segment == first && have.Number == number {
			return have.IndexEntry, true
		}
	}
	return segment.IndexEntry{}, false
}

func (h *hints) add(first, number uint64, off int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = (h.last + 1) % len(h.ring)
	h.ring[h.last] = hint{first, segment.IndexEntry{Number: number, Offset: off}}
}

// chunk returns how many bytes to read at once for limit records.
func (h *hints) chunk(limit int) int {
	guess := h.size()
	if limit > readBytes/guess {
		return readBytes
	}
	return max(guess*limit, minChunk)
}

// size returns an estimate of a record's size.
func (h *hints) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.guess == 0 {
		return firstGuess
	}
	return h.guess
}

func (h *hints) learn(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guess = size
}

// Read implements [journal.Log]. The records of one call share their memory.
func (l *Log) Read(ctx context.Context, from uint64, limit int) ([]journal.Record, error) {
	l.refresh()
	r := reading{log: l, from: from, limit: limit, left: readBytes}
	for r.limit > 0 {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		v, ok := l.catalog.locate(r.from)
		if !ok {
			break
		}
		err := r.segment(&v)
		if errors.Is(err, fs.ErrNotExist) {
			err = l.segmentGone(&v)
		}
		if err != nil {
			return nil, fmt.Errorf("read the journal at %d: %w", r.from, err)
		}
		if r.left <= 0 {
			break
		}
	}
	return r.records, nil
}

// segmentGone handles a segment whose file is missing. Its numbers become a gap, unless retention has dropped them.
func (l *Log) segmentGone(v *view) error {
	if l.writer != nil {
		if active, err := l.writer.restoreActive(v.first); active || err != nil {
			return err
		}
	} else {
		l.polling.Lock()
		err := l.list()
		l.polling.Unlock()
		if err != nil {
			return err
		}
	}
	again, ok := l.catalog.locate(v.first)
	if !ok || again.first != v.first {
		return nil
	}
	l.losses.report(segment.Loss{Segment: v.first, Numbers: journal.Range{First: v.first, Last: v.last}}, nil)
	l.catalog.update(func() { l.catalog.forget(v.first) })
	return nil
}

// reading is the state of one call of Read.
type reading struct {
	log     *Log
	from    uint64
	limit   int
	left    int // bytes that may still be returned
	records []journal.Record
}

// segment reads from one segment and sets r.from to the number to continue with.
func (r *reading) segment(v *view) error {
	h, err := r.log.files.acquire(v.first)
	if err != nil {
		return err
	}
	defer r.log.files.release(h)
	if v.size < 0 {
		info, err := h.f.Stat()
		if err != nil {
			return err
		}
		v.size = info.Size()
	}
	start, exact := r.log.hints.find(v.first, r.from)
	if !exact {
		start = v.start
		if start.Number == 0 {
			start = h.seek(r.log.opts.Dir, r.from, v.indexed)
		}
	}
	s := &frame.Scanner{R: h.f, Size: v.size, Prev: v.first - 1, Limit: v.last, Chunk: r.log.hints.chunk(r.limit), Keep: true}
	if !exact {
		s.Chunk += segment.IndexStep
	}
	if start.Number > 0 && s.Begins(start.Number, start.Offset) {
		s.Off, s.Prev = start.Offset, start.Number-1
	} else if start.Number > 0 {
		h.discardIndex()
	}
	return r.walk(s, v, h)
}

func (r *reading) walk(s *frame.Scanner, v *view, h *handle) error {
	before, bytes, stopped := len(r.records), 0, false
	if r.records == nil {
		fit := s.Chunk / r.log.hints.size()
		fit = min(r.limit, fit+fit/8+16)
		r.records = make([]journal.Record, 0, min(v.last-max(r.from, v.first)+1, uint64(fit))) //nolint:gosec // positive
	}
	var found []segment.Loss
	err := segment.Walk(s, v.first, v.last, func(it *frame.Item) (bool, error) {
		if !v.indexed {
			h.learn(it.Number, it.Off)
		}
		if it.Number < r.from {
			return true, nil
		}
		if len(r.records) > 0 && r.left < len(it.Body) {
			r.left, stopped = 0, true
			return false, nil
		}
		e, err := journal.ParseEntry(it.Body)
		if err != nil {
			return false, fmt.Errorf("record %d: %w", it.Number, err)
		}
		r.records = append(r.records, journal.Record{Number: it.Number, Entry: e})
		r.from = it.Number + 1
		r.limit--
		r.left -= len(it.Body)
		bytes += frame.HeaderSize + len(it.Body)
		s.Chunk = min(s.Chunk, max(r.left, minChunk)) // no more than what may still be returned
		if r.limit == 0 || r.left <= 0 {
			r.log.hints.add(v.first, r.from, it.Off+it.Size)
			stopped = true
			return false, nil
		}
		return true, nil
	}, func(lost segment.Loss) { found = append(found, lost) })
	if len(found) > 0 && h.stale() {
		r.log.files.forget(v.first) // the next round opens the new file
		return err
	}
	for _, lost := range found {
		r.log.losses.report(lost, h.f)
	}
	if err != nil {
		return err
	}
	if n := len(r.records) - before; n > 0 {
		r.log.hints.learn(bytes/n + 1)
	}
	if !stopped {
		if s.Prev == v.last {
			r.log.hints.add(v.first, v.last+1, s.Off)
		}
		r.from = v.last + 1
	}
	return nil
}
