package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/treatrelay/relay/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second"} {
		if err := atomicfile.Write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%q, %v, want %q", got, err, content)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	alone(t, path)
}

// What cannot be written whole changes nothing, and leaves nothing behind.
func TestWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := atomicfile.Write(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := atomicfile.WriteFunc(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "sec")
		return errors.Join(err, broken)
	})
	if got, readErr := os.ReadFile(path); !errors.Is(err, broken) || readErr != nil || string(got) != "first" {
		t.Errorf("%v, and the file has %q, %v", err, got, readErr)
	}
	alone(t, path)

	folder := filepath.Join(t.TempDir(), "folder")
	if err := os.MkdirAll(filepath.Join(folder, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(folder, nil); err == nil {
		t.Error("a folder is replaced by a file")
	}
	alone(t, folder)
	if err := atomicfile.Write(filepath.Join(folder, "missing", "file"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

// alone wants nothing but the file in its folder.
func alone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

// The pattern matches the temporary file.
func TestLeftovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	err := atomicfile.WriteFunc(path, func(w io.Writer) error {
		f, ok := w.(*os.File)
		if !ok {
			return errors.New("not a file")
		}
		match, err := filepath.Match(atomicfile.Leftovers("file"), filepath.Base(f.Name()))
		if err == nil && !match {
			err = errors.New("no match: " + f.Name())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
