package datadir

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// Choose returns the path of the data folder: the named one, or else the user's default. It does not check it.
func Choose(named string, getenv func(string) (string, bool)) (string, error) {
	if named != "" {
		return named, nil
	}
	if dir, ok := getenv("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "relay"), nil
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		if dir, err := os.UserConfigDir(); err == nil {
			return filepath.Join(dir, "relay", "data"), nil
		}
	} else if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "share", "relay"), nil
	}
	return "", exit.Usagef("no data folder: the user has no home folder; name one with --data-dir")
}

// DescribeDefaultPath describes the default data folder, for help texts.
func DescribeDefaultPath() string {
	switch runtime.GOOS {
	case "windows", "darwin":
		return "relay/data in the user's config folder"
	default:
		return "~/.local/share/relay"
	}
}
