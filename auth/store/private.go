package store

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

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

func (l *looseMode) Error() string {
	may := "read"
	if l.mode&writing != 0 {
		may = "change"
	}
	return fmt.Sprintf("others may %s %s (mode %04o); %s", may, l.path, l.mode, l.Advice())
}

// Advice implements [advice.Adviser].
func (l *looseMode) Advice() advice.Fix { return advice.Run("chmod 600 " + l.path) }

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
