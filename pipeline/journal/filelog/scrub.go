package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// scrubRate is how many bytes a second Scrub reads.
const scrubRate = 8 << 20

// Scrub reads all sealed segments, slowly, and reports damage that is new. Who runs the log calls it now and then.
func (l *Log) Scrub(ctx context.Context) error {
	for _, seg := range l.catalog.sealed() {
		err := l.scrub(ctx, &seg)
		if errors.Is(err, fs.ErrNotExist) {
			err = l.vanished(&view{first: seg.first, last: seg.last})
		}
		if err != nil {
			return fmt.Errorf("scrub the journal, segment %s: %w", segmentName(seg.first), err)
		}
	}
	return nil
}

func (l *Log) scrub(ctx context.Context, seg *segment) error {
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
	c, err := survey(r, seg.first, seg.last, info.Size(), func(lost loss) { l.losses.report(lost, h.f) })
	if err != nil {
		return err
	}
	index, err := readIndex(l.opts.Dir, seg.first, info.Size(), true)
	if l.writer == nil || err == nil && index.sum == c.sum && index.count == c.count {
		return nil
	}
	return l.writeIndex(&c)
}

// slowReader reads no faster than scrubRate, and not after its context has ended.
type slowReader struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to be told
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
