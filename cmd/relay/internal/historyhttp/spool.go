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

// spool is a temporary file with an answer, for the user only. Closing it deletes it.
type spool struct {
	*os.File
	login grant.LoginMark // the login whose token fetched it
	ahead time.Duration   // how far the provider's clock is ahead
}

const spoolName = ".history-"

// newSpool creates a file with a random name. Where the system permits, it unlinks the name at once, so that a killed process leaves nothing behind.
func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, spoolName+"*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("create a file for the history: %w", err)
	}
	_ = os.Remove(f.Name()) // Windows does not remove an open file; Close does
	return &spool{File: f}, nil
}

func (s *spool) Close() error {
	err := s.File.Close()
	if removeErr := os.Remove(s.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

// RemoveTempFiles removes the files that killed processes have left in dir. The caller must hold the lock of the data folder.
func RemoveTempFiles(dir string) {
	left, _ := fs.Glob(os.DirFS(dir), spoolName+"*") // the pattern is valid
	for _, name := range left {
		_ = os.Remove(filepath.Join(dir, name))
	}
}
