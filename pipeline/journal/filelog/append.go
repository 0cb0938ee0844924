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
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

const (
	// maxBuffer bounds the buffer that is kept for the next append.
	maxBuffer = 4 << 20
	// earlyRoll is how many bytes go into a segment that is not preallocated before a preallocated one replaces it.
	earlyRoll = 1 << 20
)

// writer appends to the newest segment.
type writer struct {
	log     *Log
	wake    chan struct{} // signals that something needs a background sync
	builder builder

	mu        sync.Mutex
	sync      func(*os.File) error
	f         *os.File // the active segment
	broken    bool     // the bytes after its last record are unknown: the next append begins a new segment
	clean     bool     // everything written is synced
	closed    bool     // Close was called: another process may be writing
	failed    error    // the error of the last background sync
	buf       []byte
	recovered map[string]uint64 // numbers by id of what an interrupted append had stored; nil after the first append
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

// lock locks w.mu. It fails if the log is closed.
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
	c := segment.Contents{First: next, Last: next - 1}
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
		c.Add(next, int64(at), e.Time)
		next, flags = next+1, 0
	}
	if cap(b) <= maxBuffer {
		w.buf = b
	}
	if c.Count > 0 {
		if err := w.store(b, &c); err != nil {
			return nil, err
		}
	}
	w.recovered = nil
	return numbers, nil
}

// store appends frames to the active segment and makes them durable.
func (w *writer) store(b []byte, c *segment.Contents) error {
	if w.failed != nil {
		w.broken, w.failed = true, nil
	}
	if w.broken || w.f == nil || w.full(len(b)) {
		if err := w.begin(c.First); err != nil {
			return err
		}
	}
	seg := w.active()
	if _, err := w.f.WriteAt(b, seg.size); err != nil {
		w.rollBack(seg, false)
		return err
	}
	if w.log.opts.NoSync {
		w.clean = false
		w.requestSync()
	} else if err := w.sync(w.f); err != nil {
		w.rollBack(seg, true) // after a failed fsync, neither the disk nor the page cache can be trusted
		return err
	}
	w.publish(seg, int64(len(b)), c)
	return nil
}

// active returns the active segment.
func (w *writer) active() *segmentInfo {
	w.log.catalog.mu.RLock()
	defer w.log.catalog.mu.RUnlock()
	return w.log.catalog.active()
}

// full reports whether n bytes need a new segment.
func (w *writer) full(n int) bool {
	seg := w.active()
	if seg.size > segment.HeaderSize && seg.size+int64(n) > w.log.opts.SegmentSize {
		return true
	}
	return seg.allocated == 0 && seg.size > earlyRoll && w.builder.spare.Load()
}

// rollBack removes what a failed append may have written, for example before the disk was full (ENOSPC).
func (w *writer) rollBack(seg *segmentInfo, unknown bool) {
	err := w.f.Truncate(seg.size)
	w.log.catalog.update(func() { seg.allocated = 0 })
	w.broken = unknown || err != nil
}

// publish makes records visible to readers.
func (w *writer) publish(seg *segmentInfo, n int64, c *segment.Contents) {
	w.log.catalog.update(func() {
		if seg.last < seg.first {
			seg.oldest = c.Oldest
		}
		for _, p := range c.Entries {
			if k := len(seg.entries); k == 0 || seg.size+p.Offset-seg.entries[k-1].Offset >= segment.IndexStep {
				seg.entries = append(seg.entries, segment.IndexEntry{Number: p.Number, Offset: seg.size + p.Offset})
			}
		}
		if c.Newest.After(seg.newest) {
			seg.newest = c.Newest
		}
		seg.last, seg.size = c.Last, seg.size+n
		w.log.catalog.next = c.Last + 1
	})
	if !w.log.opts.NoSync {
		w.clean = true
		w.savePosition()
		w.requestSync()
	}
	w.builder.wrote(w.log, n, seg)
}

// savePosition writes the position file. A failure is harmless: the frames hold the same information.
func (w *writer) savePosition() {
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

// begin starts a segment at the given number. It voids records from that number on in the previous segment.
func (w *writer) begin(first uint64) error {
	dir := w.log.opts.Dir
	name := filepath.Join(dir, segment.Name(first))
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
		if a := c.active(); a != nil && a.first == first { // it was empty
			c.segs = c.segs[: len(c.segs)-1 : len(c.segs)-1]
		}
		c.segs = append(c.segs, &segmentInfo{first: first, last: first - 1, size: segment.HeaderSize, allocated: allocated})
		c.next = first
	})
	w.savePosition()
	w.builder.wake()
	return nil
}

// prepareSegment writes the header of a segment.
func prepareSegment(path string, first uint64) error {
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(segment.Header(first), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// finish seals the active segment and truncates it after its last record.
func (w *writer) finish() error {
	if w.f == nil {
		return nil
	}
	if err := w.restore(); err != nil {
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
	if err := l.losses.addExpected(journal.Range{First: next, Last: last}, func() error { return w.begin(last + 1) }); err != nil {
		return fmt.Errorf("reserve numbers of the journal: %w", err)
	}
	return nil
}
