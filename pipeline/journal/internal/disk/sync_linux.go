package disk

import (
	"errors"
	"os"
	"syscall"
)

// SyncData makes the data of a file durable.
func SyncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
