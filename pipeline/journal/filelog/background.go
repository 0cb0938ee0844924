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
)

const (
	// flushEvery is how often at most something is synced in the background.
	flushEvery = time.Second
	spareName  = "spare" + temporarySuffix
	// prepareAfter is how much a process writes before it prepares segments. One that writes less needs none.
	prepareAfter = 2 << 20
	prepareStep  = 1 << 20
	preparePause = 5 * time.Millisecond
	minPrepared  = 1 << 20
	// prepares says that a file of zeroes is made ahead of each segment: then a sync need not write the inode, which halves its time (measured on ext4).
	prepares = runtime.GOOS == "linux"
)

// builder does what an append need not wait for: it prepares the next segment and writes the indexes of sealed ones.
type builder struct {
	work    chan struct{}
	written atomic.Int64
	spare   atomic.Bool // the file is ready
	useless atomic.Bool // the disk has no room for it; until the next segment begins
}

func (b *builder) poke() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// wrote counts what was appended.
func (b *builder) wrote(l *Log, n int64, seg *segment) {
	before := b.written.Add(n) - n
	if before < prepareAfter && before+n >= prepareAfter || seg.size > l.opts.SegmentSize/2 && !b.spare.Load() {
		b.poke()
	}
}

// take returns the file that is to become the next segment, and how long it is already. The spare one gets its name before the builder may make
// another: what that writes must never reach a segment.
func (b *builder) take(dir string) (path string, allocated int64) {
	b.useless.Store(false)
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

// build runs the builder.
func (l *Log) build(ctx context.Context) {
	b := &l.writer.builder
	for ctx.Err() == nil {
		if prepares && !l.opts.NoSync && l.opts.SegmentSize >= minPrepared && b.written.Load() >= prepareAfter && !b.spare.Load() && !b.useless.Load() {
			err := prepareSpare(ctx, filepath.Join(l.opts.Dir, spareName), l.opts.SegmentSize)
			if err == nil {
				b.spare.Store(true)
			} else {
				b.useless.Store(true)
				l.opts.Log.Debug().Err(err).Msg("No segment of the journal is prepared: it goes on without.")
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

// prepareSpare writes a file of zeroes, in steps, so that others can use the disk meanwhile. It is always a new file.
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

// index writes the missing indexes of sealed segments.
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

// surveySealed reads a sealed segment up to a number, reports what it has lost, and writes its index.
func (l *Log) surveySealed(seg *segment, last uint64) (contents, error) {
	h, err := l.files.acquire(seg.first)
	if err != nil {
		return contents{}, err
	}
	defer l.files.release(h)
	info, err := h.f.Stat()
	if err != nil {
		return contents{}, err
	}
	c, err := survey(h.f, seg.first, last, info.Size(), func(lost loss) { l.losses.report(lost, h.f) })
	if err != nil {
		return c, fmt.Errorf("read %s: %w", h.f.Name(), err)
	}
	return c, l.writeIndex(&c)
}

// writeIndex stores the index of a segment. It is derived, so it is not synced.
func (l *Log) writeIndex(c *contents) error {
	if err := replaceFile(l.opts.Dir, indexName(c.first), c.marshal(), false); err != nil {
		return err
	}
	l.files.forget(c.first)
	l.catalog.update(func() {
		for _, s := range l.catalog.segs {
			if s.first == c.first {
				s.indexed, s.places = true, nil
			}
		}
	})
	return nil
}

// later asks for a sync in the background.
func (w *writer) later() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// flush syncs in the background what need not be synced at once: the records of a log without sync, and the position of an idle one.
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
			_ = w.putBack() // reports a failure, and is tried again
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
	case w.f != f: // another segment has begun, and this one was synced then
	case err != nil:
		w.failed = err
		w.log.opts.Log.Warn().Err(err).Msg("What was appended cannot be synced. Another segment begins.")
	case w.active().size == size:
		w.clean = true
		w.note()
	default:
		w.later()
	}
}

// close syncs all and ends the writing.
func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.f == nil {
		return nil
	}
	err := w.putBack()
	if !w.clean && !w.broken {
		syncErr := w.sync(w.f)
		w.clean = syncErr == nil
		err = errors.Join(err, syncErr)
	}
	if w.clean {
		w.note()
	}
	if syncErr := w.log.position.f.Sync(); syncErr != nil {
		err = errors.Join(err, syncErr)
	}
	if err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
