package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Check refuses a data folder in which somebody else could put files, or has put links in the place of relay's. One that is
// not there yet is fine. Of what is in it, only the first level is looked at.
func Check(dir string) error { return checkOwn(dir, 1) }

// CheckTree does the same for everything in the folder.
func CheckTree(dir string) error {
	const levels = 12 // more than there are
	return exit.With(exit.Unavailable, checkOwn(dir, levels))
}

// checkOwn looks that many levels down.
func checkOwn(dir string, levels int) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil //nolint:nilerr // whoever opens it says so
	}
	if err := checkOwner(dir, info); err != nil || levels == 0 {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.Type()&fs.ModeSymlink != 0 {
			// A folder may lie elsewhere, such as on another disk.
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				return &advice.Error{
					Err: fmt.Errorf("open the data folder: %s is a symbolic link, which relay does not follow", path),
					Fix: advice.Do("put the file itself there, or delete the link"),
				}
			}
		} else if !e.IsDir() {
			continue
		}
		if err := checkOwn(path, levels-1); err != nil {
			return err
		}
	}
	return nil
}

// maxOwnFile is how many bytes are read of a file of the data folder.
const maxOwnFile = 8 << 20

// readOwn reads a file of the data folder, which is no link.
func readOwn(path string) (data []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0) //nolint:gosec // in the data folder
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	return io.ReadAll(io.LimitReader(f, maxOwnFile))
}
