package natsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/atomicfile"
)

// store tracks the folder of the streams and what of it is durable. Callers hold its lock.
type store struct {
	dir string

	mu     sync.Mutex
	seen   map[string]version  // files and folders at the last scan
	dirty  map[string]struct{} // changed since the last sync
	synced map[string]Held     // by stream, the last durable message on record

	inspected time.Time // when the ends of the streams were last read
	behind    bool      // something is durable that the record does not have
}

func newStore(dir string) *store {
	left, _ := fs.Glob(os.DirFS(dir), atomicfile.Leftovers(notesFile)) // of a killed process; the pattern is valid
	for _, name := range left {
		_ = os.Remove(filepath.Join(dir, name))
	}
	return &store{dir: dir, seen: map[string]version{}, dirty: map[string]struct{}{}, synced: notes(dir)}
}

// version identifies a version of a file. File system clocks tick every few milliseconds, so a file that changed just
// now may change again and look the same.
type version struct {
	at    time.Time
	size  int64
	fresh bool
}

// notesFile records, for each stream, up to where it was durable at the last sync.
const notesFile = "synced.json"

// scan finds what has changed since the last scan, at first everything.
func (s *store) scan() error {
	now, seen := time.Now(), make(map[string]version, len(s.seen))
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path == filepath.Join(s.dir, notesFile) {
			return nil
		}
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) { // just removed
			return nil
		}
		if err != nil {
			return err
		}
		v := version{at: info.ModTime(), size: info.Size(), fresh: now.Sub(info.ModTime()) < time.Second}
		if entry.IsDir() {
			v.size = 0
		}
		if old, ok := s.seen[path]; !ok || old.fresh || !old.at.Equal(v.at) || old.size != v.size {
			s.dirty[path] = struct{}{}
		}
		seen[path] = v
		return nil
	})
	if err != nil {
		return fmt.Errorf("inspect the folder of the embedded NATS server: %w", err)
	}
	s.seen = seen
	return nil
}

// sync makes changes durable. The server writes each message to its file at once, so a sync through another descriptor
// covers it.
func (s *store) sync() error {
	for path := range s.dirty {
		if err := syncPath(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync the streams of the embedded NATS server: %w", err)
		}
		delete(s.dirty, path)
	}
	return nil
}

func syncPath(path string) error {
	flags := os.O_RDWR
	if info, err := os.Stat(path); err != nil {
		return err
	} else if info.IsDir() {
		if runtime.GOOS == "windows" { // where a folder needs no sync
			return nil
		}
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0) //nolint:gosec // in the server's own folder
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// note durably records up to where the streams are durable.
func (s *store) note(held map[string]Held) error {
	data, err := json.Marshal(held)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(s.dir, notesFile), data); err != nil {
		return fmt.Errorf("record what the embedded NATS server holds: %w", err)
	}
	s.synced = held
	return nil
}

// notes reads the last record. A damaged file counts as missing.
func notes(dir string) map[string]Held {
	held := map[string]Held{}
	data, err := os.ReadFile(filepath.Join(dir, notesFile)) //nolint:gosec // in the server's own folder
	if err == nil && json.Unmarshal(data, &held) != nil {
		return map[string]Held{}
	}
	return held
}
