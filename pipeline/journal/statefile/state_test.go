package statefile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
)

func TestStateBackup(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	held := realisticState(t, dir)
	s := openState(t, dir, t.Output())
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if err := Verify(t.Context(), dir); !errors.Is(err, errLocked) {
		t.Errorf("verified while it is open: %v", err)
	}
	var writers sync.WaitGroup
	stop := make(chan struct{})
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Put(t.Context(), fmt.Sprint("dead.later", i%50), []byte(fmt.Sprint(i)), journal.AnyRevision); err != nil {
					t.Error(err)
				}
			}
		}
	})
	err := s.Backup(t.Context(), to)
	close(stop)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), to); err == nil {
		t.Error("a backup was overwritten")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dir, to} {
		if err := Verify(t.Context(), dir); err != nil {
			t.Error(err)
		}
	}
	s = openState(t, to, t.Output())
	defer s.Close()
	for key, want := range held {
		if got, _, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %.20q, %v", key, got, err)
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	dir := t.TempDir()
	realisticState(t, dir)
	for _, name := range []string{copyName, fileName} {
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[60] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Verify(t.Context(), dir); !errors.Is(err, errCopyDamaged) || errors.Is(err, errDamaged) != (name == fileName) {
			t.Errorf("%s damaged: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	if err := Verify(t.Context(), t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no state: %v", err)
	}
}

func TestStateFiles(t *testing.T) {
	dir := t.TempDir()
	realisticState(t, dir)
	for _, name := range []string{fileName, copyName, lockName} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %o", name, info.Mode().Perm())
		}
	}
	for _, name := range []string{fileName, copyName, lockName} {
		t.Run("no link is followed for "+name, func(t *testing.T) {
			from, to := t.TempDir(), t.TempDir()
			target := filepath.Join(to, "precious")
			if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(from, name)); err != nil {
				t.Skip(err)
			}
			s, err := Open(t.Context(), Options{Dir: from, Log: zerolog.Nop()})
			if err == nil {
				_ = s.Close()
				t.Error("it was opened")
			}
			if got, err := os.ReadFile(target); err != nil || string(got) != "precious" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func TestStateCanceled(t *testing.T) {
	s := openState(t, t.TempDir(), io.Discard)
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the reason")
	cancel(cause)
	if _, err := s.Put(ctx, "a", nil, journal.AnyRevision); !errors.Is(err, cause) {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := s.Get(ctx, "a"); !errors.Is(err, cause) {
		t.Errorf("Get: %v", err)
	}
}

func BenchmarkStatePut(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			s, err := Open(b.Context(), Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			value := bytes.Repeat([]byte("x"), 200)
			var running sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				running.Go(func() {
					for i := range max(1, b.N/writers) {
						if _, err := s.Put(b.Context(), fmt.Sprint("cursor.", w, ".", i%10), value, journal.AnyRevision); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
		})
	}
}

func BenchmarkStateOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := Open(b.Context(), Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range 100 {
		writers.Go(func() {
			for i := range 1000 {
				if _, err := s.Put(b.Context(), fmt.Sprintf("dead.%d.%d", w, i), bytes.Repeat([]byte("x"), 500), 0); err != nil {
					b.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := openStateQuietly(b, dir)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func openStateQuietly(b *testing.B, dir string) *State {
	b.Helper()
	s, err := Open(b.Context(), Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return s
}
