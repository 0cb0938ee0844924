package historyhttp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/treatrelay/relay/auth/grant"
)

// spool is a file with an answer, for the user only, that is gone when it is closed.
type spool struct {
	*os.File
	login grant.LoginMark // whose token brought it
	ahead time.Duration   // how far the provider's clock is ahead
}

const spoolName = ".history-"

// newSpool makes a file with a name that nobody can guess, and takes the name away at once where the system can do without: a process
// that is killed leaves nothing behind.
func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, spoolName+"*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("make a file for the history: %w", err)
	}
	_ = os.Remove(f.Name()) // Windows removes no file that is open; Close does
	return &spool{File: f}, nil
}

func (s *spool) Close() error {
	err := s.File.Close()
	if removeErr := os.Remove(s.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

// Sweep removes what a killed process has left, where the system keeps the names. The data folder is locked.
func Sweep(dir string) {
	left, _ := fs.Glob(os.DirFS(dir), spoolName+"*") // the pattern is good
	for _, name := range left {
		_ = os.Remove(filepath.Join(dir, name))
	}
}
