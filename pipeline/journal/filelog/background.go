package filelog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

const (
	// flushEvery is the shortest interval between background syncs.
	flushEvery = time.Second
	spareName  = "spare" + temporarySuffix
	// prepareAfter is how many bytes a process writes before it starts to preallocate segments.
	prepareAfter = 2 << 20
	prepareStep  = 1 << 20
	preparePause = 5 * time.Millisecond
	minPrepared  = 1 << 20
	// prepares enables preallocation: a file of zeroes becomes the next segment. Then a sync need not write the inode,
	// which halves its time (measured on ext4).
	prepares = runtime.GOOS == "linux"
)

// builder works in the background: it preallocates the next segment and writes the indexes of sealed ones.
type builder struct {
	work     chan struct{}
	written  atomic.Int64
	spare    atomic.Bool // the preallocated file is ready
	diskFull atomic.Bool // the disk has no room for it; until the next segment begins
}

func (b *builder) wake() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// wrote counts appended bytes and wakes the builder when there is work.
func (b *builder) wrote(l *Log, n int64, seg *segmentInfo) {
	before := b.written.Add(n) - n
	if before < prepareAfter && before+n >= prepareAfter || seg.size > l.opts.SegmentSize/2 && !b.spare.Load() {
		b.wake()
	}
}

// take returns the file that becomes the next segment, and its size. It renames the spare file before the builder can make
// another one, so that the builder never writes to a segment.
func (b *builder) take(dir string) (path string, allocated int64) {
	b.diskFull.Store(false)
	path = filepath.Join(dir, "next"+temporarySuffix)
	if b.spare.Load() {
		err := os.Rename(filepath.Join(dir, spareName), path)
		b.spare.Store(false)
		if err == nil {
			if info, err := os.Stat(path); err == nil {
				return path, info.Size()
			}
		}
	}
	_ = os.Remove(path)
	return path, 0
}

// build runs the builder until ctx ends.
func (l *Log) build(ctx context.Context) {
	b := &l.writer.builder
	for ctx.Err() == nil {
		if prepares && !l.opts.NoSync && l.opts.SegmentSize >= minPrepared && b.written.Load() >= prepareAfter && !b.spare.Load() && !b.diskFull.Load() {
			err := prepareSpare(ctx, filepath.Join(l.opts.Dir, spareName), l.opts.SegmentSize)
			if err == nil {
				b.spare.Store(true)
			} else {
				b.diskFull.Store(true)
				l.opts.Log.Debug().Err(err).Msg("No segment of the journal is preallocated: it continues without.")
			}
		}
		l.index(ctx)
		select {
		case <-ctx.Done():
		case <-b.work:
		}
	}
	if b.spare.CompareAndSwap(true, false) {
		_ = os.Remove(filepath.Join(l.opts.Dir, spareName))
	}
}

// prepareSpare writes a new file of zeroes. It pauses between steps to leave the disk to others.
func prepareSpare(ctx context.Context, path string, size int64) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	pause := time.NewTimer(preparePause)
	defer pause.Stop()
	zeroes := make([]byte, prepareStep)
	for off := int64(0); off < size; off += prepareStep {
		if _, err := f.WriteAt(zeroes[:min(prepareStep, size-off)], off); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		pause.Reset(preparePause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-pause.C:
		}
	}
	return nil
}

// index writes the indexes that sealed segments lack.
func (l *Log) index(ctx context.Context) {
	for _, seg := range l.catalog.sealed() {
		if ctx.Err() != nil {
			return
		}
		if seg.indexed {
			continue
		}
		if _, err := l.surveySealed(&seg, seg.last); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.opts.Log.Debug().Err(err).Msg("A segment of the journal cannot be indexed now.")
		}
	}
}

// surveySealed reads a sealed segment up to the number last, reports its losses, and writes its index.
func (l *Log) surveySealed(seg *segmentInfo, last uint64) (segment.Contents, error) {
	h, err := l.files.acquire(seg.first)
	if err != nil {
		return segment.Contents{}, err
	}
	defer l.files.release(h)
	info, err := h.f.Stat()
	if err != nil {
		return segment.Contents{}, err
	}
	c, err := segment.Survey(h.f, seg.first, last, info.Size(), func(lost segment.Loss) { l.losses.report(lost, h.f) })
	if err != nil {
		return c, fmt.Errorf("read %s: %w", h.f.Name(), err)
	}
	return c, l.writeIndex(&c)
}

// writeIndex stores the index of a segment. It does not sync it, since the index is derived.
func (l *Log) writeIndex(c *segment.Contents) error {
	if err := replaceFile(l.opts.Dir, segment.IndexName(c.First), c.Marshal(), false); err != nil {
		return err
	}
	l.files.forget(c.First)
	l.catalog.update(func() {
		for _, s := range l.catalog.segs {
			if s.first == c.First {
				s.indexed, s.entries = true, nil
			}
		}
	})
	return nil
}

// requestSync wakes flush.
func (w *writer) requestSync() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// flush syncs what need not be durable at once: the records of a log with NoSync, and the position of an idle log.
func (w *writer) flush(ctx context.Context) {
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		timer.Reset(flushEvery)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.flushNow()
	}
}

func (w *writer) flushNow() {
	w.mu.Lock()
	f, size, position := w.f, int64(0), w.log.position
	unsynced := w.log.opts.NoSync && !w.clean && !w.broken && f != nil
	if unsynced {
		size = w.active().size
	}
	w.mu.Unlock()
	if !unsynced {
		if len(w.wake) == 0 { // idle
			w.mu.Lock()
			_ = w.restore() // it logs a failure, and the next flush retries
			w.mu.Unlock()
			if err := position.f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
				w.log.opts.Log.Debug().Err(err).Msg("The position of the journal cannot be synced.")
			}
		}
		return
	}
	err := w.sync(f)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.f != f: // a new segment has begun, which synced this one
	case err != nil:
		w.failed = err
		w.log.opts.Log.Warn().Err(err).Msg("An append cannot be synced. A new segment begins.")
	case w.active().size == size:
		w.clean = true
		w.savePosition()
	default:
		w.requestSync()
	}
}

// close syncs everything and stops the writer.
func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.f == nil {
		return nil
	}
	err := w.restore()
	if !w.clean && !w.broken {
		syncErr := w.sync(w.f)
		w.clean = syncErr == nil
		err = errors.Join(err, syncErr)
	}
	if w.clean {
		w.savePosition()
	}
	if syncErr := w.log.position.f.Sync(); syncErr != nil {
		err = errors.Join(err, syncErr)
	}
	if err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
