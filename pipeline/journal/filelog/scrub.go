package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// scrubRate is the rate of Scrub in bytes per second.
const scrubRate = 8 << 20

// Scrub reads all sealed segments at a low rate and reports new damage. It returns nil when it has read everything. The caller
// decides how often to run it.
func (l *Log) Scrub(ctx context.Context) error {
	for _, seg := range l.catalog.sealed() {
		err := l.scrub(ctx, &seg)
		if errors.Is(err, fs.ErrNotExist) {
			err = l.segmentGone(&view{first: seg.first, last: seg.last})
		}
		if err != nil {
			return fmt.Errorf("scrub the journal, segment %s: %w", segment.Name(seg.first), err)
		}
	}
	return nil
}

func (l *Log) scrub(ctx context.Context, seg *segmentInfo) error {
	h, err := l.files.acquire(seg.first)
	if err != nil {
		return err
	}
	defer l.files.release(h)
	info, err := h.f.Stat()
	if err != nil {
		return err
	}
	r := &slowReader{ctx: ctx, r: h.f}
	c, err := segment.Survey(r, seg.first, seg.last, info.Size(), func(lost segment.Loss) { l.losses.report(lost, h.f) })
	if err != nil {
		return err
	}
	index, err := segment.ReadIndex(l.opts.Dir, seg.first, info.Size(), true)
	if l.writer == nil || err == nil && index.Sum == c.Sum && index.Count == c.Count {
		return nil
	}
	return l.writeIndex(&c)
}

// slowReader limits reads to scrubRate, and fails once its context ends.
type slowReader struct {
	ctx context.Context //nolint:containedctx // io.ReaderAt takes no context
	r   io.ReaderAt
}

func (r *slowReader) ReadAt(b []byte, off int64) (int, error) {
	pause := time.NewTimer(time.Duration(len(b)) * time.Second / scrubRate)
	defer pause.Stop()
	select {
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	case <-pause.C:
	}
	return r.r.ReadAt(b, off)
}
