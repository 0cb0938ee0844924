package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	// maxBuffer bounds the memory that is kept for the next append.
	maxBuffer = 4 << 20
	// earlyRoll is how much of a segment without zeroes ahead is written before a prepared one takes its place.
	earlyRoll = 1 << 20
)

// writer appends to the newest segment.
type writer struct {
	log     *Log
	wake    chan struct{} // something was written that is to be synced in the background
	builder builder

	mu        sync.Mutex
	sync      func(*os.File) error
	f         *os.File // the segment that is written to
	broken    bool     // what it holds behind the last record is not known: the next append begins another one
	clean     bool     // all that was written is synced
	closed    bool     // by Close: another process may write by then
	failed    error    // of the last sync in the background
	buf       []byte
	recovered map[string]uint64 // what an append that was interrupted by a crash has stored, by id, until the first append
}

// Append implements [journal.Log].
func (l *Log) Append(ctx context.Context, entries []journal.Entry) ([]uint64, error) {
	if l.writer == nil {
		return nil, errReadOnly
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if err := l.writer.lock(); err != nil {
		return nil, fmt.Errorf("append to the journal: %w", err)
	}
	defer l.writer.mu.Unlock()
	numbers, err := l.writer.append(entries)
	if err != nil {
		return nil, fmt.Errorf("append to the journal: %w", err)
	}
	return numbers, nil
}

// lock takes the writer's lock, unless the log is closed.
func (w *writer) lock() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	return nil
}

func (w *writer) append(entries []journal.Entry) ([]uint64, error) {
	_, next := w.log.catalog.bounds()
	numbers := make([]uint64, len(entries))
	b, flags := w.buf[:0], uint32(0)
	if w.clean {
		flags = frame.FlagSynced
	}
	c := contents{first: next, last: next - 1}
	for i := range entries {
		e := &entries[i]
		if n, ok := w.recovered[e.ID]; ok {
			numbers[i] = n
			continue
		}
		at := len(b)
		b = frame.Append(b, next, flags, e)
		if size := len(b) - at - frame.HeaderSize; size > frame.MaxBody {
			return nil, fmt.Errorf("entry %s has %d bytes: %w", e.ID, size, journal.ErrTooLarge)
		}
		numbers[i] = next
		c.note(next, int64(at), e.Time)
		next, flags = next+1, 0
	}
	if cap(b) <= maxBuffer {
		w.buf = b
	}
	if c.count > 0 {
		if err := w.store(b, &c); err != nil {
			return nil, err
		}
	}
	w.recovered = nil
	return numbers, nil
}

// store writes frames behind the last one and makes them durable.
func (w *writer) store(b []byte, c *contents) error {
	if w.failed != nil {
		w.broken, w.failed = true, nil
	}
	if w.broken || w.f == nil || w.full(len(b)) {
		if err := w.begin(c.first); err != nil {
			return err
		}
	}
	seg := w.active()
	if _, err := w.f.WriteAt(b, seg.size); err != nil {
		w.takeBack(seg, false)
		return err
	}
	if w.log.opts.NoSync {
		w.clean = false
		w.later()
	} else if err := w.sync(w.f); err != nil {
		w.takeBack(seg, true) // what the disk has of it is not known, and the system's memory of it may be gone
		return err
	}
	w.publish(seg, int64(len(b)), c)
	return nil
}

// active is the segment that is written to.
func (w *writer) active() *segment {
	w.log.catalog.mu.RLock()
	defer w.log.catalog.mu.RUnlock()
	return w.log.catalog.active()
}

// full reports whether so much is to be written to another segment.
func (w *writer) full(n int) bool {
	seg := w.active()
	if seg.size > headerSize && seg.size+int64(n) > w.log.opts.SegmentSize {
		return true
	}
	return seg.allocated == 0 && seg.size > earlyRoll && w.builder.spare.Load()
}

// takeBack removes what an append that failed may have written.
func (w *writer) takeBack(seg *segment, unknown bool) {
	err := w.f.Truncate(seg.size)
	w.log.catalog.update(func() { seg.allocated = 0 })
	w.broken = unknown || err != nil
}

// publish makes records readable.
func (w *writer) publish(seg *segment, n int64, c *contents) {
	w.log.catalog.update(func() {
		if seg.last < seg.first {
			seg.oldest = c.oldest
		}
		for _, p := range c.places {
			if k := len(seg.places); k == 0 || seg.size+p.off-seg.places[k-1].off >= indexStep {
				seg.places = append(seg.places, place{p.number, seg.size + p.off})
			}
		}
		if c.newest.After(seg.newest) {
			seg.newest = c.newest
		}
		seg.last, seg.size = c.last, seg.size+n
		w.log.catalog.next = c.last + 1
	})
	if !w.log.opts.NoSync {
		w.clean = true
		w.note()
		w.later()
	}
	w.builder.wrote(w.log, n, seg)
}

// note writes the position. What it would have said is found in the frames, if it fails.
func (w *writer) note() {
	at := position{}
	w.log.catalog.mu.RLock()
	at.last, at.oldest = w.log.catalog.next-1, 1
	if a := w.log.catalog.active(); a != nil {
		at.active, at.oldest = a.first, w.log.catalog.segs[0].first
	}
	w.log.catalog.mu.RUnlock()
	if err := w.log.position.write(at); err != nil {
		w.log.opts.Log.Debug().Err(err).Msg("The position of the journal cannot be written now.")
	}
}

// begin starts a segment with the given number. What the one before holds from that number on is void.
func (w *writer) begin(first uint64) error {
	dir := w.log.opts.Dir
	name := filepath.Join(dir, segmentName(first))
	temporary, allocated := w.builder.take(dir)
	if err := prepareSegment(temporary, first); err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("begin a segment: %w", err)
	}
	if err := w.finish(); err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("finish a segment: %w", err)
	}
	err := os.Rename(temporary, name)
	if err == nil {
		err = disk.SyncDir(dir)
	}
	var f *os.File
	if err == nil {
		f, err = disk.OpenFile(name, os.O_RDWR)
	}
	if err != nil {
		w.broken = true
		return fmt.Errorf("begin a segment: %w", err)
	}
	w.f, w.broken, w.clean = f, false, true
	w.log.files.forget(first)
	w.log.catalog.update(func() {
		c := &w.log.catalog
		if a := c.active(); a != nil && a.first == first { // it held nothing
			c.segs = c.segs[: len(c.segs)-1 : len(c.segs)-1]
		}
		c.segs = append(c.segs, &segment{first: first, last: first - 1, size: headerSize, allocated: allocated})
		c.next = first
	})
	w.note()
	w.builder.poke()
	return nil
}

// prepareSegment writes the header of a segment.
func prepareSegment(path string, first uint64) error {
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(segmentHeader(first), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// finish ends the writing to the present segment: it is cut where its records end.
func (w *writer) finish() error {
	if w.f == nil {
		return nil
	}
	if err := w.putBack(); err != nil {
		return err
	}
	seg := w.active()
	if !w.broken && !w.clean {
		if err := w.sync(w.f); err != nil {
			w.broken = true
			return err
		}
	}
	if !w.broken && seg.allocated > seg.size {
		if err := w.f.Truncate(seg.size); err != nil {
			return err
		}
	}
	if err := w.f.Close(); err != nil && !w.broken && !errors.Is(err, fs.ErrClosed) {
		w.log.opts.Log.Debug().Err(err).Msg("A segment of the journal cannot be closed.")
	}
	w.f = nil
	w.log.catalog.update(func() { seg.allocated = 0 })
	return nil
}

// Reserve implements [journal.Log].
func (l *Log) Reserve(ctx context.Context, last uint64) error {
	if l.writer == nil {
		return errReadOnly
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	w := l.writer
	if err := w.lock(); err != nil {
		return fmt.Errorf("reserve numbers of the journal: %w", err)
	}
	defer w.mu.Unlock()
	_, next := l.catalog.bounds()
	if last < next {
		return nil
	}
	if err := l.losses.expect(journal.Span{First: next, Last: last}, func() error { return w.begin(last + 1) }); err != nil {
		return fmt.Errorf("reserve numbers of the journal: %w", err)
	}
	return nil
}
