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
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// recover finds out what the folder holds, at the start of the one who writes. It reads the last segment, and of the others only the indexes.
func (l *Log) recover(ctx context.Context) error {
	if err := removeTemporary(l.opts.Dir); err != nil {
		return err
	}
	found, err := listSegments(l.opts.Dir)
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
		if err := l.recoverSealed(f, found[i+1].first-1); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		l.missing(loss{segment: oldest, span: journal.Span{First: oldest, Last: found[0].first - 1}})
		return l.recoverLast(found[len(found)-1], at.last)
	}
	l.missing(loss{segment: oldest, span: journal.Span{First: oldest, Last: at.last}})
	l.catalog.next = max(oldest, at.last+1)
	return l.writer.begin(l.catalog.next)
}

// oldest returns the first number that retention has kept.
func (l *Log) oldest(found []segmentFile, at position) (uint64, error) {
	known := l.losses.known.Oldest
	oldest := max(known, at.oldest)
	if oldest == 0 && len(found) > 0 {
		oldest = found[0].first
	}
	oldest = max(oldest, 1)
	if known > 0 {
		return oldest, nil
	}
	return oldest, l.losses.dropped(oldest, oldest)
}

// missing reports numbers that no segment holds, if there are any.
func (l *Log) missing(lost loss) {
	if !lost.none() {
		l.losses.report(lost, nil)
	}
}

// sweep removes what retention has left: segments that end before oldest, and indexes without a segment.
func (l *Log) sweep(found []segmentFile, oldest uint64) ([]segmentFile, error) {
	for len(found) > 1 && found[1].first <= oldest {
		if err := removeSegment(l.opts.Dir, found[0].first); err != nil {
			return nil, err
		}
		found = found[1:]
	}
	names, err := filepath.Glob(filepath.Join(l.opts.Dir, "*"+indexSuffix))
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool, len(found))
	for _, f := range found {
		have[indexName(f.first)] = true
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

func (l *Log) recoverSealed(f segmentFile, last uint64) error {
	c, err := readIndex(l.opts.Dir, f.first, f.size, false)
	indexed := err == nil && c.last <= last
	seg := &segment{first: f.first, last: c.last, size: f.size, oldest: c.oldest, newest: c.newest, indexed: indexed}
	l.catalog.segs = append(l.catalog.segs, seg)
	if !indexed {
		seg.indexed = true // or else it would be indexed twice
		c, err = l.surveySealed(seg, last)
		if err != nil && c.first == 0 {
			return err
		}
		seg.last, seg.oldest, seg.newest, seg.indexed = c.last, c.oldest, c.newest, err == nil
	}
	l.missing(loss{segment: f.first, off: f.size, span: journal.Span{First: c.last + 1, Last: last}, before: c.newest})
	return nil
}

// recoverLast reads the segment that was written to last, cuts what was interrupted, and goes on behind it.
func (l *Log) recoverLast(found segmentFile, synced uint64) error {
	f, err := disk.OpenFile(filepath.Join(l.opts.Dir, segmentName(found.first)), os.O_RDWR)
	if err != nil {
		return err
	}
	w := l.writer
	w.f = f
	if err := checkHeader(f); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	t, err := readTail(f, found.first, found.size, synced)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if w.recovered, err = readIDs(f, &t, min(t.group, t.synced+1)); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	seg := &segment{first: found.first, last: t.last, size: t.end, allocated: found.size, oldest: t.oldest, newest: t.newest, places: t.places}
	l.catalog.segs = append(l.catalog.segs, seg)
	for _, lost := range t.losses {
		l.losses.report(lost, f)
	}
	if t.torn {
		l.opts.Log.Info().Str("segment", segmentName(found.first)).Int64("offset", t.end).
			Msg("The last append to the journal was interrupted, and never acknowledged. It is cut.")
		seg.allocated = 0
		if err := f.Truncate(t.end); err != nil {
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
	l.catalog.next = max(t.last, synced) + 1
	if t.last < synced {
		seg.size = t.end
		return w.begin(synced + 1)
	}
	w.note()
	return nil
}

// removeTemporary removes files that an interrupted process was making.
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
