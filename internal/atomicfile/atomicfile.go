// Package atomicfile replaces files such that a crash at any moment, or a power cut, leaves the old content or the new one, whole.
//
// A file is written under a temporary name next to it, synced, and renamed. A process that is killed meanwhile leaves the temporary file
// behind, see [Leftovers].
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces the file at path with data, or creates it, for its user only. When it returns nil, content and name are durable. After an
// error the old file is there, unless only the sync of the folder failed.
func Write(path string, data []byte) error {
	return WriteFunc(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFunc is [Write] with the content that fill writes. An error of fill leaves the old file in place.
func WriteFunc(path string, fill func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, Leftovers(filepath.Base(path))) // mode 0600
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(dir)
}

// Leftovers is the pattern, for [filepath.Match], of the temporary files of a file of that name.
func Leftovers(name string) string { return "." + name + "-*.tmp" }

// SyncDir makes the names in a folder durable: files that were created, renamed or deleted. It does nothing on Windows, which cannot sync a
// folder and does not have to.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) //nolint:gosec // the caller's own folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
