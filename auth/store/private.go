package store

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/treatrelay/relay/auth/advice"
)

// Permissions that others must not have, as mode bits.
const (
	anything fs.FileMode = 0o077
	writing  fs.FileMode = 0o022
)

func tooOpen(info fs.FileInfo, forbidden fs.FileMode) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0
}

// looseMode is the error for a secret file that others may read or change.
type looseMode struct {
	path string
	mode fs.FileMode
}

func (e *looseMode) Error() string {
	may := "read"
	if e.mode&writing != 0 {
		may = "change"
	}
	return fmt.Sprintf("others may %s %s (mode %04o); %s", may, e.path, e.mode, e.Advice())
}

// Advice implements [advice.Adviser].
func (e *looseMode) Advice() advice.Fix { return advice.Run("chmod 600 " + e.path) }

// readPrivate reads a secret file. It refuses, with a *looseMode, a file that gives others a forbidden permission.
func readPrivate(path string, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path) //nolint:gosec // the user chose it, or its name was checked
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if tooOpen(info, forbidden) {
		return nil, nil, &looseMode{path, info.Mode().Perm()}
	}
	content, err := io.ReadAll(io.LimitReader(f, recordLimit))
	return content, info, err
}

// replaceFile writes content to path so that after a crash there is either the old file or the new one.
func replaceFile(path string, content []byte) error {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+strings.TrimSuffix(name, suffix)+".*"+tempSuffix) // with mode 0600
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
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // Windows cannot open directories, and does not need this.
	}
	d, err := os.Open(dir) //nolint:gosec // The directory is the store's own.
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
