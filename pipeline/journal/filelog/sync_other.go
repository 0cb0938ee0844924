//go:build !linux

package filelog

import "os"

// prepares says that a file of zeroes is made ahead of each segment.
const prepares = false

// syncData makes what was written to a file durable: F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
func syncData(f *os.File) error { return f.Sync() }
