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
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// Finding is something that [Verify] finds. Where Numbers.First is 0, no record is lost.
type Finding struct {
	Damage
	Known bool  // the log knows that these numbers are lost
	Err   error // says what is wrong with a file that is not a segment
}

// Summary is what [Verify] has read.
type Summary struct {
	Segments int          `json:"segments"`
	Records  uint64       `json:"records"`
	Bytes    int64        `json:"bytes"`
	Numbers  journal.Span `json:"numbers"`  // the oldest and the newest; First is greater than Last if there are none
	Lost     uint64       `json:"lost"`     // numbers between them that are not there
	Findings int          `json:"findings"` // without those that were known
}

// Verify reads a whole log and reports what is wrong with it. It changes nothing, and may run while another process writes: it reads what
// was durable when it began.
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
	ctx    context.Context //nolint:containedctx // one call
	dir    string
	report func(Finding)
	known  knowledge
	sum    Summary
}

var errPosition = errors.New("it holds no position; the next start of relay writes one")

func (v *verification) run() error {
	at, ok := v.position()
	var err error
	if v.known, err = readKnowledge(v.dir); err != nil {
		v.report(Finding{Damage: Damage{Segment: gapsName}, Err: err})
	}
	found, err := listSegments(v.dir)
	if err != nil {
		return err
	}
	if len(found) == 0 && !ok {
		return errNoLog
	}
	expected := max(v.known.Oldest, at.oldest)
	if expected == 0 && len(found) > 0 {
		expected = found[0].first
	}
	if len(found) > 0 {
		v.sum.Numbers.First = found[0].first
		v.missing(loss{segment: expected, span: journal.Span{First: expected, Last: found[0].first - 1}})
		expected = found[0].first
	}
	for i, f := range found {
		last := at.last
		if i+1 < len(found) {
			last = found[i+1].first - 1
			if ok {
				last = min(last, at.last)
			}
		}
		if ok && f.first > at.last {
			break
		}
		if last, err = v.segment(f, last, i+1 < len(found), ok); err != nil {
			return err
		}
		expected = last + 1
	}
	v.missing(loss{segment: expected, span: journal.Span{First: expected, Last: at.last}})
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

// segment reads one up to a number and returns the number it ends with.
func (v *verification) segment(f segmentFile, last uint64, sealed, positioned bool) (uint64, error) {
	file, err := disk.OpenFile(filepath.Join(v.dir, segmentName(f.first)), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		v.vanished(f.first, last)
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
	if err := checkHeader(file); err != nil {
		return 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	r := &endingReader{ctx: v.ctx, r: file}
	if !sealed && !positioned {
		t, err := readTail(r, f.first, info.Size(), 0)
		if err != nil {
			return 0, err
		}
		last = t.last
	}
	c, err := survey(r, f.first, last, info.Size(), func(lost loss) { v.lost(lost, file) })
	if err != nil {
		return 0, err
	}
	if sealed {
		v.index(&c)
	}
	v.sum.Segments++
	v.sum.Records += c.count
	v.sum.Bytes += info.Size()
	return last, nil
}

// index compares a sealed segment with its index. One that is not there yet, or of a segment that has just grown, is none to report.
func (v *verification) index(c *contents) {
	index, err := readIndex(v.dir, c.first, c.size, true)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err == nil && (index.sum != c.sum || index.count != c.count):
		err = fmt.Errorf("the segment is not as it was when it was sealed: %w", errIndex)
	case err == nil:
		return
	}
	v.report(Finding{Damage: Damage{Segment: indexName(c.first)}, Err: err})
}

// vanished handles a segment that is not there any more: retention may have dropped it.
func (v *verification) vanished(first, last uint64) {
	known, err := readKnowledge(v.dir)
	if err == nil && last < known.Oldest {
		return
	}
	v.missing(loss{segment: first, span: journal.Span{First: first, Last: last}})
}

func (v *verification) missing(lost loss) {
	if !lost.none() {
		v.lost(lost, nil)
	}
}

func (v *verification) lost(lost loss, r io.ReaderAt) {
	d := Damage{Segment: segmentName(lost.segment), Offset: lost.off, Size: lost.size, Time: lost.before}
	if r != nil && lost.size > 0 {
		raw := make([]byte, min(lost.size, maxAside))
		n, _ := disk.ReadAt(r, raw, lost.off)
		identify(&d, raw[:n], &lost)
	}
	if lost.none() {
		v.report(Finding{Damage: d})
		return
	}
	v.sum.Lost += lost.span.Last - lost.span.First + 1
	d.Numbers = lost.span
	known := append(gapSet(nil), v.known.Gaps...)
	v.report(Finding{Damage: d, Known: len(known.add(lost.span)) == 0})
}

// endingReader reads until its context ends.
type endingReader struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to be told
	r   io.ReaderAt
}

func (r *endingReader) ReadAt(b []byte, off int64) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.ReadAt(b, off)
}
