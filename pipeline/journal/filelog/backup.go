package filelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/internal/disk"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

var errNotEmpty = errors.New("it is not empty")

// Backup copies the log as it is now into dest, which must be empty or missing. The copy is complete and durable when Backup
// returns. This process or another one may write the log meanwhile. The copy shares no files with the log, so damage to one
// does not affect the other.
func Backup(ctx context.Context, l *Log, dest string) error {
	if err := l.backup(ctx, dest); err != nil {
		return fmt.Errorf("back up the journal to %s: %w", dest, err)
	}
	return nil
}

func (l *Log) backup(ctx context.Context, dest string) error {
	if err := os.MkdirAll(dest, 0o700); err != nil {
		return err
	}
	if have, err := os.ReadDir(dest); err != nil || len(have) > 0 {
		if err == nil {
			err = errNotEmpty
		}
		return err
	}
	l.refresh()
	l.catalog.mu.RLock()
	next := l.catalog.next
	var segs []segmentInfo
	for _, s := range l.catalog.segs {
		segs = append(segs, *s)
	}
	l.catalog.mu.RUnlock()
	at := position{last: next - 1}
	for i := range segs {
		seg := &segs[i]
		err := l.copySegment(ctx, seg, i+1 < len(segs), next, dest)
		if errors.Is(err, fs.ErrNotExist) && at.active == 0 {
			continue // dropped meanwhile
		}
		if err != nil {
			return err
		}
		if at.oldest == 0 {
			at.oldest = seg.first
		}
		at.active = seg.first
	}
	l.losses.reload()
	l.losses.mu.Lock()
	known := l.losses.known
	known.Gaps = append(gapSet(nil), known.Gaps...)
	l.losses.mu.Unlock()
	known.Oldest = max(known.Oldest, at.oldest)
	if err := writeGaps(dest, known); err != nil {
		return err
	}
	return writePosition(dest, at)
}

// copySegment copies a segment, and its index if there is one. Of the active segment it copies the durable part.
func (l *Log) copySegment(ctx context.Context, seg *segmentInfo, sealed bool, next uint64, dest string) error {
	name := segment.Name(seg.first)
	src, err := disk.OpenFile(filepath.Join(l.opts.Dir, name), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	size := seg.size
	info, err := src.Stat()
	if err != nil {
		return err
	}
	if sealed {
		size = info.Size()
	} else if size < 0 {
		s := &frame.Scanner{R: src, Size: info.Size(), Prev: seg.first - 1, Limit: next - 1, Chunk: 1 << 20}
		if err := segment.Walk(s, seg.first, next-1, func(*frame.Item) (bool, error) { return true, nil }, func(segment.Loss) {}); err != nil {
			return err
		}
		size = max(s.Off, min(segment.HeaderSize, info.Size()))
	}
	if err := copyFile(ctx, src, size, filepath.Join(dest, name)); err != nil {
		return err
	}
	if b, err := readFile(filepath.Join(l.opts.Dir, segment.IndexName(seg.first))); err == nil && sealed {
		return writeFile(filepath.Join(dest, segment.IndexName(seg.first)), b, true)
	}
	return nil
}

// copyFile copies size bytes. It checks ctx between steps.
func copyFile(ctx context.Context, src *os.File, size int64, path string) (err error) {
	dst, err := disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	const step = 16 << 20
	for left := size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := io.CopyN(dst, src, min(left, step))
		if errors.Is(err, io.EOF) {
			break // the file has shrunk
		}
		if err != nil {
			return err
		}
		left -= n
	}
	return dst.Sync()
}

// writePosition writes the position of a copy.
func writePosition(dir string, at position) error {
	p, err := openPosition(dir, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.write(at); err != nil {
		return err
	}
	if err := p.f.Sync(); err != nil {
		return err
	}
	return disk.SyncDir(dir)
}
