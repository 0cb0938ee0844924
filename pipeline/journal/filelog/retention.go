package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// segmentsPerRetention is the least number of segments in the time that is kept, so that retention also works for a log that
// grows slowly.
const segmentsPerRetention = 8

// DropBefore implements [journal.Log]. It removes whole segments.
func (l *Log) DropBefore(ctx context.Context, t time.Time) error {
	if l.writer == nil {
		return errReadOnly
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := l.writer.lock(); err != nil {
		return fmt.Errorf("drop old segments of the journal: %w", err)
	}
	defer l.writer.mu.Unlock()
	if err := l.writer.drop(t); err != nil {
		return fmt.Errorf("drop old segments of the journal: %w", err)
	}
	return nil
}

func (w *writer) drop(t time.Time) error {
	l := w.log
	if seg := w.active(); seg.last >= seg.first {
		now := time.Now()
		if seg.newest.Before(t) || seg.oldest.Before(now.Add(-now.Sub(t)/segmentsPerRetention)) && t.Before(now) {
			if err := w.begin(seg.last + 1); err != nil {
				return err
			}
		}
	}
	// The age of a segment without a readable record is unknown. It is dropped together with the next one, whose records
	// show how old it must be.
	var old []uint64
	oldest, dropped, count := w.active().first, uint64(0), 0
	for _, seg := range l.catalog.sealed() {
		if seg.last >= seg.first && seg.newest.Unix() > 0 {
			if !seg.newest.Before(t) {
				break
			}
			dropped, count = seg.last, len(old)+1
		}
		old = append(old, seg.first)
	}
	if old = old[:count]; count == 0 {
		return nil
	}
	if sealed := l.catalog.sealed(); len(sealed) > count {
		oldest = sealed[count].first
	}
	if err := l.losses.dropped(oldest, dropped+1); err != nil {
		return err
	}
	l.catalog.update(func() { // by number: a reader may have removed a missing segment meanwhile
		l.catalog.segs = slices.DeleteFunc(slices.Clone(l.catalog.segs), func(s *segmentInfo) bool { return slices.Contains(old, s.first) })
	})
	w.savePosition()
	var err error
	for _, first := range old {
		l.files.forget(first)
		err = errors.Join(err, removeSegment(l.opts.Dir, first))
	}
	return err
}

// removeSegment removes a segment and its index.
func removeSegment(dir string, first uint64) error {
	for _, name := range [...]string{segment.Name(first), segment.IndexName(first)} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
