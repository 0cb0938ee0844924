package journalfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// replace puts content in place of a file, such that a crash at any moment leaves the old file or the new one.
func replace(path string, content []byte) error {
	temp := path + ".relay.tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // within the journal's folder
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename or a removal survive a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it cannot open folders, and needs none of this
	}
	d, err := os.Open(dir) //nolint:gosec // within the journal's folder
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// remove removes a file that may be absent.
func remove(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// read returns the content of a file, nil if there is none.
func read(path string) ([]byte, error) {
	content, err := os.ReadFile(path) //nolint:gosec // within the journal's folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// folders lists the names of the folders in a folder, none if it is absent.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' { // the server marks by a dot what it is deleting
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// keep copies a damaged file, or a folder of them, to the place for evidence, and returns where that is.
func (c *check) keep(rel string) (string, error) {
	to := filepath.Join(c.evidence, filepath.FromSlash(rel))
	err := filepath.WalkDir(c.path(rel), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside, err := filepath.Rel(c.path(rel), path)
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, inside))
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("keep a copy of the damaged %s: %w; free some space or mend the permissions of %s", c.path(rel), err, c.evidence)
	}
	return to, nil
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from) //nolint:gosec // within the journal's folder
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // beside the journal's folder
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}
