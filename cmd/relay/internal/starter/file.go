package starter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// WriteNew creates a file that only the user can read. The error is a [fs.ErrExist] if it exists.
func WriteNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the user's own
	if err != nil {
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = fmt.Errorf("%s the file: %w", failed.Op, failed.Err)
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}
