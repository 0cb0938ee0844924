package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// rejectLooseFiles rejects each file with a secret that others may change, or read. Containers mount secrets below /run/secrets for everybody in them.
func (d *decoder) rejectLooseFiles() {
	if runtime.GOOS == "windows" {
		return
	}
	for _, at := range slices.Sorted(maps.Keys(d.kept)) {
		info, err := os.Stat(d.kept[at])
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		mode := info.Mode().Perm()
		switch path, err := filepath.Abs(d.kept[at]); {
		case mode&0o022 != 0:
			d.reject(at, fmt.Sprintf("a secret in a file that others may change (mode %04o): change the mode to 0600", mode))
		case mode&0o044 != 0 && (err != nil || !strings.HasPrefix(path, "/run/secrets/") && !strings.HasPrefix(path, "/var/run/secrets/")):
			d.reject(at, fmt.Sprintf("a secret in a file that others may read (mode %04o): change the mode to 0600", mode))
		}
	}
}
