package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/starter"
)

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
			return &advice.Error{Err: fmt.Errorf("%s exists already, and may be in use", path), Fix: advice.Do("move it away")}
		} else if err != nil {
			return err
		}
	}
	if err := add(s.Path, text); errors.Is(err, fs.ErrExist) {
		return s.configured()
	} else if err != nil {
		return err
	}
	if _, err := config.Check(s.Path, s.Getenv); err != nil {
		return fmt.Errorf("check what was written: %w", err)
	}
	return nil
}
