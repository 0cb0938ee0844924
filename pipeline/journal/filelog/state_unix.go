//go:build unix

package filelog

import (
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// syncStateDir makes the names of a folder's files durable.
func syncStateDir(dir string) error {
	folder, err := os.Open(dir) //nolint:gosec // the data folder
	if err != nil {
		return err
	}
	err = folder.Sync()
	if closeErr := folder.Close(); err == nil {
		err = closeErr
	}
	return err
}
