package disktest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// Disk is a small ext4 file system in a file behind a loop device.
type Disk struct {
	Dir     string // where it is mounted
	t       testing.TB
	image   string
	mounted bool
}

// NewDisk makes a disk of that many bytes, at least about 8 MiB, for the duration of a test. It skips the test where
// the process lacks the permission.
func NewDisk(t testing.TB, size int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk of its own: only root may mount one")
	}
	base := t.TempDir()
	d := &Disk{t: t, Dir: filepath.Join(base, "disk"), image: filepath.Join(base, "image")}
	image, err := os.OpenFile(d.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		err = image.Truncate(size)
		_ = image.Close()
	}
	if err == nil {
		err = os.Mkdir(d.Dir, 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := command("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image); err != nil {
		t.Skip("a disk of its own: ", err)
	}
	if err := d.mount(); err != nil {
		t.Skip("a disk of its own: ", err)
	}
	t.Cleanup(func() {
		if !d.mounted {
			return
		}
		if err := d.unmount(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// command runs a program of the system. It is called from cleanups too, so it does not use the test's context.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput() //nolint:noctx,gosec // tools of the system, with paths of the test
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

func (d *Disk) mount() error {
	err := command("mount", "-o", "loop", d.image, d.Dir)
	d.mounted = err == nil
	return err
}

func (d *Disk) unmount() error {
	err := command("umount", d.Dir)
	if err != nil && strings.Contains(err.Error(), "busy") {
		err = command("umount", "--lazy", d.Dir)
	}
	d.mounted = err != nil
	return err
}

// EXT4_IOC_SHUTDOWN, and its flag to discard what the file system's own journal has not written yet.
const (
	extShutdown        = 0x8004587d
	shutdownNoLogFlush = 2
)

// Cut simulates a power failure: nothing unsynced reaches the disk any more, and all operations fail.
func (d *Disk) Cut() {
	d.t.Helper()
	folder, err := os.Open(d.Dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = folder.Close() }() // opened for reading only
	flag := uint32(shutdownNoLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, folder.Fd(), extShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 { //nolint:gosec // an ioctl takes a pointer
		d.t.Skip("cut the power of a file system: ", errno)
	}
}

// Return mounts the disk again after [Disk.Cut]. No file of it may be open.
func (d *Disk) Return() {
	d.t.Helper()
	if err := d.unmount(); err != nil {
		d.t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// Fill uses up the free space of the disk, and returns a function that frees it.
func (d *Disk) Fill() (free func()) {
	d.t.Helper()
	path := filepath.Join(d.Dir, "ballast")
	ballast, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // a path of the test
	if err != nil {
		d.t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = ballast.Write(make([]byte, size))
		}
	}
	if err := ballast.Sync(); err != nil {
		d.t.Fatal(err)
	}
	if err := ballast.Close(); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			d.t.Error(err)
		}
	}
}
