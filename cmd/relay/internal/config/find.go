package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Find returns the path of the configuration file: the first of flag, $RELAY_CONFIG, relay.yaml in the working folder, and relay/relay.yaml in the
// user's configuration folder. The path is empty if there is no file. It is an error if flag or $RELAY_CONFIG names a file that does not exist.
func Find(flag string, getenv func(string) (string, bool)) (string, error) {
	named, from := flag, "--config"
	if named == "" {
		named, _ = getenv("RELAY_CONFIG")
		from = "RELAY_CONFIG"
	}
	if named != "" {
		if err := checkFile(named); err != nil {
			return "", fmt.Errorf("find the configuration file that %s names: %w", from, err)
		}
		return named, nil
	}
	candidates := []string{"relay.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		candidates = append(candidates, filepath.Join(dir, "relay", "relay.yaml"))
	}
	for _, path := range candidates {
		err := checkFile(path)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the configuration file: %w", err)
		}
	}
	return "", nil
}

func checkFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, not a file", path)
	}
	return nil
}
