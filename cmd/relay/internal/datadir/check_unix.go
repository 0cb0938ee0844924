//go:build unix

package datadir

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
)

// noFollow makes opening a link fail, and opening a pipe not block.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// checkOwner returns an error for a folder that belongs to another user than root, or that others may write to.
func checkOwner(dir string, info fs.FileInfo) error {
	if info.Mode().Perm()&0o022 != 0 {
		return &advice.Error{
			Err: fmt.Errorf("open the data folder: others may write to %s (mode %04o)", dir, info.Mode().Perm()),
			Fix: advice.Run("chmod go-w " + text.ShellQuote(dir)),
		}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Uid != 0 && int64(stat.Uid) != int64(os.Geteuid()) {
		return &advice.Error{
			Err: fmt.Errorf("open the data folder: %s belongs to another user (id %d, and this is %d)", dir, stat.Uid, os.Geteuid()),
			Fix: advice.Do("run this as the user that relay runs as, or choose another folder with --data-dir"),
		}
	}
	return nil
}
