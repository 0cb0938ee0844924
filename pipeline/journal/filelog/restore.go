package filelog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"

	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// restore writes the file of the active segment again if it was removed or replaced. Nothing is lost while the file is open.
// An error means that the caller should retry. w.mu is held.
func (w *writer) restore() error {
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

// displaced reports whether the path of the active segment no longer names the open file.
func (w *writer) displaced() bool {
	here, err := w.f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(w.f.Name())
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(here, there)
}

// content reads the active segment.
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
	if err := replaceFile(w.log.opts.Dir, segment.Name(seg.first), b, true); err != nil {
		return err
	}
	f, err := disk.OpenFile(w.f.Name(), os.O_RDWR)
	if err != nil {
		return err
	}
	_ = w.f.Close() // the file is no longer reachable by its name
	w.f = f
	w.log.files.forget(seg.first)
	w.log.catalog.update(func() { seg.allocated = 0 })
	return nil
}

// restoreActive restores the segment that starts at first if it is the active one. It reports whether it is.
func (w *writer) restoreActive(first uint64) (active bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.active().first != first {
		return false, nil
	}
	if err := w.restore(); err != nil {
		return true, err
	}
	_, err = os.Lstat(filepath.Join(w.log.opts.Dir, segment.Name(first)))
	return true, err
}
