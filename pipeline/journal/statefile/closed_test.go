package statefile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Who puts something while the state is closed, or after, gets an answer.
func TestPutAfterClose(t *testing.T) {
	t.Parallel()
	s := openState(t, t.TempDir(), t.Output())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := s.Put(ctx, "sink.a", nil, journal.AnyRevision)
		cancel()
		if !errors.Is(err, errClosed) {
			t.Fatal(err)
		}
	}
}

// A repair that fails, as on a full disk, is made later: what is put meanwhile gets an error, and what is put then is stored.
func TestRepairFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	s := openState(t, dir, &log)
	put := func(key string) error {
		_, err := s.Put(t.Context(), key, []byte("value of "+key), journal.AnyRevision)
		return err
	}
	for _, key := range []string{"sink.a", "sink.b"} {
		if err := put(key); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.writeCopy(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; { // in every page that has it
		i := bytes.Index(content[at:], []byte("value of sink.a"))
		if i < 0 {
			break
		}
		at += i + 1
		if _, err := f.WriteAt([]byte("#"), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(dir, damagedDir) // a file where the folder for what is damaged is to be
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := put("sink.a"); err == nil {
			t.Fatal("it was put")
		}
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := put("sink.c"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"sink.a", "sink.b", "sink.c"} {
		if value, _, err := s.Get(t.Context(), key); err != nil || string(value) != "value of "+key {
			t.Errorf("%s is %q, %v", key, value, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
