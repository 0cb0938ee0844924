package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// Finding is a problem that [Verify] reports. If Numbers.First is 0, no record is lost.
type Finding struct {
	Damage
	Known bool  // the log already lists these numbers as lost
	Err   error // the problem of a file that is not a segment
}

// Summary is the result of [Verify].
type Summary struct {
	Segments int           `json:"segments"`
	Records  uint64        `json:"records"`
	Bytes    int64         `json:"bytes"`
	Numbers  journal.Range `json:"numbers"`  // oldest and newest; First is greater than Last if there are none
	Lost     uint64        `json:"lost"`     // missing numbers between them
	Findings int           `json:"findings"` // without known ones
}

// Verify reads the whole log of a folder and calls report for each problem. It changes nothing. Another process may write the
// log meanwhile: Verify reads what was durable when it began.
func Verify(ctx context.Context, dir string, report func(Finding)) (Summary, error) {
	v := verification{ctx: ctx, dir: dir}
	v.report = func(f Finding) {
		if !f.Known {
			v.sum.Findings++
		}
		report(f)
	}
	if err := v.run(); err != nil {
		return v.sum, fmt.Errorf("verify the journal in %s: %w", dir, err)
	}
	return v.sum, nil
}

type verification struct {
	ctx    context.Context //nolint:containedctx // lives for one call
	dir    string
	report func(Finding)
	known  gapRecord
	sum    Summary
}

var errPosition = errors.New("it holds no position; the next start of relay writes one")

func (v *verification) run() error {
	at, ok := v.position()
	var err error
	if v.known, err = readGaps(v.dir); err != nil {
		v.report(Finding{Damage: Damage{Segment: gapsName}, Err: err})
	}
	found, err := segment.List(v.dir)
	if err != nil {
		return err
	}
	if len(found) == 0 && !ok {
		return errNoLog
	}
	expected := max(v.known.Oldest, at.oldest)
	if expected == 0 && len(found) > 0 {
		expected = found[0].First
	}
	if len(found) > 0 {
		v.sum.Numbers.First = found[0].First
		v.missing(segment.Loss{Segment: expected, Numbers: journal.Range{First: expected, Last: found[0].First - 1}})
		expected = found[0].First
	}
	for i, f := range found {
		last := at.last
		if i+1 < len(found) {
			last = found[i+1].First - 1
			if ok {
				last = min(last, at.last)
			}
		}
		if ok && f.First > at.last {
			break
		}
		if last, err = v.segment(f, last, i+1 < len(found), ok); err != nil {
			return err
		}
		expected = last + 1
	}
	v.missing(segment.Loss{Segment: expected, Numbers: journal.Range{First: expected, Last: at.last}})
	v.sum.Numbers.Last = max(expected-1, at.last)
	return nil
}

func (v *verification) position() (position, bool) {
	p, err := openPosition(v.dir, os.O_RDONLY)
	if err != nil {
		p = &positionFile{}
	}
	defer p.close()
	at, ok := p.read()
	if !ok {
		if err == nil {
			err = errPosition
		}
		v.report(Finding{Damage: Damage{Segment: positionName}, Err: err})
	}
	return at, ok
}

// segment verifies a segment up to the number last and returns the number it ends with.
func (v *verification) segment(f segment.File, last uint64, sealed, positioned bool) (uint64, error) {
	file, err := disk.OpenFile(filepath.Join(v.dir, segment.Name(f.First)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		v.segmentGone(f.First, last)
		return last, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if err := segment.CheckHeader(file); err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	r := &endingReader{ctx: v.ctx, r: file}
	if !sealed && !positioned {
		t, err := segment.ReadTail(r, f.First, info.Size(), 0)
		if err != nil {
			return 0, err
		}
		last = t.Last
	}
	c, err := segment.Survey(r, f.First, last, info.Size(), func(lost segment.Loss) { v.lost(lost, file) })
	if err != nil {
		return 0, err
	}
	if sealed {
		v.index(&c)
	}
	v.sum.Segments++
	v.sum.Records += c.Count
	v.sum.Bytes += info.Size()
	return last, nil
}

// index compares a sealed segment with its index. A missing index is not a problem.
func (v *verification) index(c *segment.Contents) {
	index, err := segment.ReadIndex(v.dir, c.First, c.Size, true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err == nil && (index.Sum != c.Sum || index.Count != c.Count):
		err = fmt.Errorf("the segment is not as it was when it was sealed: %w", segment.ErrIndex)
	case err == nil:
		return
	}
	v.report(Finding{Damage: Damage{Segment: segment.IndexName(c.First)}, Err: err})
}

// segmentGone reports a segment that is missing now, unless retention has dropped it.
func (v *verification) segmentGone(first, last uint64) {
	known, err := readGaps(v.dir)
	if err == nil && last < known.Oldest {
		return
	}
	v.missing(segment.Loss{Segment: first, Numbers: journal.Range{First: first, Last: last}})
}

func (v *verification) missing(lost segment.Loss) {
	if !lost.Empty() {
		v.lost(lost, nil)
	}
}

func (v *verification) lost(lost segment.Loss, r io.ReaderAt) {
	d := Damage{Segment: segment.Name(lost.Segment), Offset: lost.Offset, Size: lost.Size, Time: lost.Before}
	if r != nil && lost.Size > 0 {
		raw := make([]byte, min(lost.Size, maxQuarantine))
		n, _ := disk.ReadAt(r, raw, lost.Offset)
		identify(&d, raw[:n], &lost)
	}
	if lost.Empty() {
		v.report(Finding{Damage: d})
		return
	}
	v.sum.Lost += lost.Numbers.Last - lost.Numbers.First + 1
	d.Numbers = lost.Numbers
	known := append(gapSet(nil), v.known.Gaps...)
	v.report(Finding{Damage: d, Known: len(known.add(lost.Numbers)) == 0})
}

// endingReader fails once its context ends.
type endingReader struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt takes no context
	r   io.ReaderAt
}

func (r *endingReader) ReadAt(b []byte, off int64) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.ReadAt(b, off)
}
