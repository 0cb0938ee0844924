package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
	"github.com/treatrelay/relay/internal/atomicfile"
)

// Needed reports whether there is no configuration at a path: no file, or one with nothing but comments.
func Needed(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	if !info.Mode().IsRegular() || info.Size() > maxBlank {
		return false
	}
	text, err := os.ReadFile(path) //nolint:gosec // the path is the user's own
	return err == nil && blank(string(text))
}

const maxBlank = 64 << 10 // bytes; no file of comments is larger

// blank reports whether a configuration has nothing but comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// comments returns the comments of a configuration that has nothing else, to write before the new one.
func (s *Setup) comments() string {
	text, err := os.ReadFile(s.Path)
	if err != nil {
		return ""
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			kept.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	if kept.Len() > 0 {
		kept.WriteString("\n")
	}
	return kept.String()
}

// writeConfig writes the configuration, in place of one that is blank. undo restores that.
func (s *Setup) writeConfig(text string) (undo func() error, err error) {
	old, err := os.ReadFile(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return func() error { return os.Remove(s.Path) }, starter.WriteNew(s.Path, []byte(text))
	case err != nil:
		return nil, err
	case !blank(string(old)):
		return nil, fs.ErrExist
	}
	return func() error { return atomicfile.Write(s.Path, old) }, atomicfile.Write(s.Path, []byte(text))
}

func inTheWay(path string) error {
	return &advice.Error{Err: fmt.Errorf("%s exists already, and may be in use", path), Fix: advice.Do("move it away")}
}

// obstacle returns why [Setup.write] would fail, as far as that can be known before: people should not learn it after the last step.
func (s *Setup) obstacle(secrets []secretFile) error {
	dir := filepath.Dir(s.Path)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // write makes it
	}
	f, err := os.CreateTemp(dir, ".relay-setup-*")
	if err != nil {
		return &advice.Error{Err: fmt.Errorf("nothing can be written to the folder of the configuration: %w", err), Fix: advice.Do("make it writable, or start relay dashboard in another folder")}
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("try to write to the folder of the configuration: %w", err)
	}
	for _, file := range secrets {
		if path := filepath.Join(dir, file.name); exists(path) {
			return inTheWay(path)
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// write writes the files with the secrets, and then the configuration, each for the user only. It replaces none. On an error it leaves none behind.
func (s *Setup) write(text string, secrets []secretFile) (err error) {
	var made []string
	defer func() {
		for _, path := range made {
			if err != nil {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the configuration: %w", err)
	}
	add := func(path, content string) error {
		err := starter.WriteNew(path, []byte(content))
		if err == nil {
			made = append(made, path)
		}
		return err
	}
	for _, file := range secrets {
		path := filepath.Join(dir, file.name)
		if err := add(path, file.content.Reveal()+"\n"); errors.Is(err, fs.ErrExist) {
			return inTheWay(path)
		} else if err != nil {
			return err
		}
	}
	undo, err := s.writeConfig(text)
	if errors.Is(err, fs.ErrExist) {
		return s.configured()
	} else if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()
	if _, err := config.Check(s.Path, s.Getenv); err != nil {
		return fmt.Errorf("check what was written: %w", err)
	}
	return nil
}
