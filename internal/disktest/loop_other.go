//go:build !linux

package disktest

import "testing"

// Disk is a small disk with a file system of its own. It is available on Linux only.
type Disk struct {
	Dir string
}

// NewDisk skips the test.
func NewDisk(t testing.TB, _ int64) *Disk {
	t.Helper()
	t.Skip("a disk of its own: only on Linux")
	return nil
}

// Cut is never called.
func (d *Disk) Cut() {}

// Return is never called.
func (d *Disk) Return() {}

// Fill is never called.
func (d *Disk) Fill() (free func()) { return func() {} }
