package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// recover loads the folder for the writer. It reads the last segment, and only the indexes of the others.
func (l *Log) recover(ctx context.Context) error {
	if err := removeTemporary(l.opts.Dir); err != nil {
		return err
	}
	found, err := segment.List(l.opts.Dir)
	if err != nil {
		return err
	}
	at, _ := l.position.read()
	oldest, err := l.oldest(found, at)
	if err != nil {
		return err
	}
	l.catalog.next = oldest
	if found, err = l.sweep(found, oldest); err != nil {
		return err
	}
	for i, f := range found[:max(len(found)-1, 0)] {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := l.recoverSealed(f, found[i+1].First-1); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		l.missing(segment.Loss{Segment: oldest, Numbers: journal.Range{First: oldest, Last: found[0].First - 1}})
		return l.recoverLast(found[len(found)-1], at.last)
	}
	l.missing(segment.Loss{Segment: oldest, Numbers: journal.Range{First: oldest, Last: at.last}})
	l.catalog.next = max(oldest, at.last+1)
	return l.writer.begin(l.catalog.next)
}

// oldest returns the first number that retention has kept.
func (l *Log) oldest(found []segment.File, at position) (uint64, error) {
	known := l.losses.known.Oldest
	oldest := max(known, at.oldest)
	if oldest == 0 && len(found) > 0 {
		oldest = found[0].First
	}
	oldest = max(oldest, 1)
	if known > 0 {
		return oldest, nil
	}
	return oldest, l.losses.dropped(oldest, oldest)
}

// missing reports a loss of numbers that no segment holds, unless it is empty.
func (l *Log) missing(lost segment.Loss) {
	if !lost.Empty() {
		l.losses.report(lost, nil)
	}
}

// sweep removes what an interrupted retention left: segments that end before oldest, and indexes without a segment.
func (l *Log) sweep(found []segment.File, oldest uint64) ([]segment.File, error) {
	for len(found) > 1 && found[1].First <= oldest {
		if err := removeSegment(l.opts.Dir, found[0].First); err != nil {
			return nil, err
		}
		found = found[1:]
	}
	names, err := filepath.Glob(filepath.Join(l.opts.Dir, "*"+segment.IndexSuffix))
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool, len(found))
	for _, f := range found {
		have[segment.IndexName(f.First)] = true
	}
	for _, name := range names {
		if !have[filepath.Base(name)] {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	return found, nil
}

func (l *Log) recoverSealed(f segment.File, last uint64) error {
	c, err := segment.ReadIndex(l.opts.Dir, f.First, f.Size, false)
	indexed := err == nil && c.Last <= last
	seg := &segmentInfo{first: f.First, last: c.Last, size: f.Size, oldest: c.Oldest, newest: c.Newest, indexed: indexed}
	l.catalog.segs = append(l.catalog.segs, seg)
	if !indexed {
		seg.indexed = true // so that it is not indexed twice
		c, err = l.surveySealed(seg, last)
		if err != nil && c.First == 0 {
			return err
		}
		seg.last, seg.oldest, seg.newest, seg.indexed = c.Last, c.Oldest, c.Newest, err == nil
	}
	l.missing(segment.Loss{Segment: f.First, Offset: f.Size, Numbers: journal.Range{First: c.Last + 1, Last: last}, Before: c.Newest})
	return nil
}

// recoverLast reads the last segment, truncates an interrupted append, and makes the segment the active one.
func (l *Log) recoverLast(found segment.File, synced uint64) error {
	f, err := disk.OpenFile(filepath.Join(l.opts.Dir, segment.Name(found.First)), os.O_RDWR)
	if err != nil {
		return err
	}
	w := l.writer
	w.f = f
	if err := segment.CheckHeader(f); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	t, err := segment.ReadTail(f, found.First, found.Size, synced)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if w.recovered, err = segment.ReadIDs(f, &t, min(t.Group, t.Synced+1)); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	seg := &segmentInfo{first: found.First, last: t.Last, size: t.End, allocated: found.Size, oldest: t.Oldest, newest: t.Newest, entries: t.Entries}
	l.catalog.segs = append(l.catalog.segs, seg)
	for _, lost := range t.Losses {
		l.losses.report(lost, f)
	}
	if t.Torn {
		l.opts.Log.Info().Str("segment", segment.Name(found.First)).Int64("offset", t.End).
			Msg("The last append to the journal was interrupted and never acknowledged. It is removed.")
		seg.allocated = 0
		if err := f.Truncate(t.End); err != nil {
			return fmt.Errorf("cut %s: %w", f.Name(), err)
		}
	}
	if seg.allocated == seg.size {
		seg.allocated = 0
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	w.clean = true
	l.catalog.next = max(t.Last, synced) + 1
	if t.Last < synced {
		seg.size = t.End
		return w.begin(synced + 1)
	}
	w.savePosition()
	return nil
}

// removeTemporary removes the incomplete files of an interrupted process.
func removeTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), temporarySuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
