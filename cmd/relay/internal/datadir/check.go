package datadir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Check returns an error if other users can create files in the data folder, or if it contains links in place of files. A missing folder is no
// error. It checks the folder and its first level. It leaves out the folder of the overlays, in which operators put files and links of their own:
// relay only reads there, and follows no link that leads out.
func Check(dir string) error { return checkOwn(dir, 1, OverlaysDir) }

// CheckTree is Check for the whole tree.
func CheckTree(dir string) error {
	const levels = 12 // more than there are
	return exit.With(exit.Unavailable, checkOwn(dir, levels, OverlaysDir))
}

// checkOwn checks that many levels, without the folders in it that are named.
func checkOwn(dir string, levels int, leftOut ...string) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil //nolint:nilerr // opening it reports the error
	}
	if err := checkOwner(dir, info); err != nil || levels == 0 {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if slices.Contains(leftOut, e.Name()) {
			continue
		}
		if e.Type()&fs.ModeSymlink != 0 {
			// A folder may be elsewhere, such as on another disk.
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

// maxOwnFile limits how many bytes of a file are read.
const maxOwnFile = 8 << 20

// readOwn reads a regular file of the data folder. It does not follow a link.
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
