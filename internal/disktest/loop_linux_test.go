package disktest

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestDisk(t *testing.T) {
	disk := NewDisk(t, 16<<20)
	synced, unsynced := filepath.Join(disk.Dir, "synced"), filepath.Join(disk.Dir, "unsynced")
	write := func(path string, sync bool) error {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write([]byte("content")); err != nil {
			return err
		}
		if sync {
			return f.Sync()
		}
		return nil
	}
	if err := errors.Join(write(synced, true), write(unsynced, false)); err != nil {
		t.Fatal(err)
	}
	disk.Cut()
	if err := write(filepath.Join(disk.Dir, "after"), true); err == nil {
		t.Error("written after the power was cut")
	}
	disk.Return()
	if got, err := os.ReadFile(synced); err != nil || string(got) != "content" {
		t.Errorf("what was synced: %q, %v", got, err)
	}
	if got, err := os.ReadFile(unsynced); err == nil && len(got) > 0 {
		t.Errorf("what was not synced: %q", got)
	}
	free := disk.Fill()
	if err := write(filepath.Join(disk.Dir, "full"), true); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	free()
	if err := write(filepath.Join(disk.Dir, "room"), true); err != nil {
		t.Error(err)
	}
}
