package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// putBack writes the segment that is written to again, if somebody has removed its file meanwhile: while it is open, nothing of it is lost.
func (w *writer) putBack() {
	if w.f == nil || w.broken {
		return
	}
	if _, err := os.Lstat(w.f.Name()); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	log := w.log.opts.Log.With().Str("segment", filepath.Base(w.f.Name())).Logger()
	if err := w.rewrite(); err != nil {
		log.Error().Err(err).Msg("A file of the journal was removed while it is in use, and cannot be written again.")
		return
	}
	log.Warn().Msg("A file of the journal was removed while it is in use. It was written again, and nothing is lost.")
}

func (w *writer) rewrite() error {
	seg := w.active()
	b := make([]byte, seg.size)
	n, err := disk.ReadAt(w.f, b, 0)
	if err != nil {
		return err
	}
	if int64(n) < seg.size {
		return fmt.Errorf("read %d bytes: %w", seg.size, fs.ErrNotExist)
	}
	if err := replaceFile(w.log.opts.Dir, segmentName(seg.first), b, true); err != nil {
		return err
	}
	f, err := disk.OpenFile(w.f.Name(), os.O_RDWR)
	if err != nil {
		return err
	}
	_ = w.f.Close() // of a file that has no name
	w.f = f
	w.log.files.forget(seg.first)
	w.log.catalog.update(func() { seg.allocated = 0 })
	return nil
}
