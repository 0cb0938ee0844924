//go:build !linux

package disk

import "os"

// SyncData makes what was written to a file durable: F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
func SyncData(f *os.File) error { return f.Sync() }
