package filelog

import (
	"fmt"
	"os"
)

// openFile opens a file of the log. It does not follow a symbolic link.
func openFile(path string, flag int) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: it is not a regular file", path)
	}
	return os.OpenFile(path, flag, 0o600) //nolint:gosec // paths are made of the folder and numbers
}

// syncDir does nothing: Windows keeps no folder back.
func syncDir(string) error { return nil }

// lockFile does nothing: the data folder has a lock of its own.
func lockFile(*os.File) error { return nil }

func unlockFile(*os.File) {}
