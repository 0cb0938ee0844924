package store

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/treatrelay/relay/auth/advice"
)

// What others must not be allowed, in the bits of a file's mode.
const (
	anything fs.FileMode = 0o077
	writing  fs.FileMode = 0o022
)

func tooOpen(info fs.FileInfo, forbidden fs.FileMode) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0
}

// looseMode is the error for a file of secrets that others may read or change.
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

// readPrivate reads a file of secrets. It refuses, with a *looseMode, one that others may do what is forbidden with.
func readPrivate(path string, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path) //nolint:gosec // The user names it, or its name was checked.
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
