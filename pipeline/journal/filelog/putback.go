package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// putBack writes the segment that is written to again, if somebody has removed or replaced its file meanwhile: while it is open, nothing of it is lost.
// The error says that this is to be tried again.
func (w *writer) putBack() error {
	if w.f == nil || w.broken || !w.displaced() {
		return nil
	}
	log := w.log.opts.Log.With().Str("segment", filepath.Base(w.f.Name())).Logger()
	b, err := w.content()
	if err != nil {
		log.Error().Err(err).Msg("A file of the journal was removed while it is in use, and cannot be written again.")
		return nil
	}
	if err := w.rewrite(b); err != nil {
		log.Error().Err(err).Msg("A file of the journal was removed while it is in use, and cannot be written again.")
		return err
	}
	log.Warn().Msg("A file of the journal was removed while it is in use. It was written again, and nothing is lost.")
	return nil
}

// displaced reports whether the file that is written to is not the one of its name.
func (w *writer) displaced() bool {
	here, err := w.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(w.f.Name())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(here, there)
}

// content reads the segment that is written to.
func (w *writer) content() ([]byte, error) {
	b := make([]byte, w.active().size)
	n, err := disk.ReadAt(w.f, b, 0)
	if err == nil && n < len(b) {
		err = fmt.Errorf("read %d bytes: %w", len(b), fs.ErrNotExist)
	}
	return b, err
}

func (w *writer) rewrite(b []byte) error {
	seg := w.active()
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

// putBackActive puts back the segment of that number, if it is the one that is written to, which it reports.
func (w *writer) putBackActive(first uint64) (active bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active().first != first {
		return false, nil
	}
	if err := w.putBack(); err != nil {
		return true, err
	}
	_, err = os.Lstat(filepath.Join(w.log.opts.Dir, segmentName(first)))
	return true, err
}
