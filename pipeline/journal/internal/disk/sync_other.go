//go:build !linux

package disk

import "os"

// SyncData makes the data of a file durable: F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
func SyncData(f *os.File) error { return f.Sync() }
