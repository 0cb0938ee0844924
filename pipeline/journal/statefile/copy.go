package statefile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/treatrelay/relay/pipeline/journal/internal/disk"
)

// state.copy is the second copy of what cannot be rebuilt from the log. It has a line that identifies it, the revision
// of the state (8 bytes), the number of records (4), each record with its length before it (4), and a CRC32C of
// everything (4). Each record also has its own checksum, so that damage is limited to it.
const (
	copyName  = "state.copy"
	copyMagic = "relay state copy 1\n"
	maxCopy   = 1 << 30
	// copyAfter is the delay of the copy after a change, so that successive changes share it.
	copyAfter = time.Second
	// copyRetry is the delay after a failed attempt.
	copyRetry = 5 * time.Second
)

var (
	errCopyDamaged       = errors.New("the second copy of the state is damaged")
	errNotRegular  error = &fixableError{"it is not a regular file, and relay follows no link here", "move it away"}
)

// stateCopy is the content of state.copy.
type stateCopy struct {
	revision uint64
	records  map[string]stateRecord
}

// readCopy reads the intact part of the second copy. The error is [fs.ErrNotExist] if there is none and
// [errCopyDamaged] if a part is damaged.
func readCopy(dir string) (stateCopy, error) {
	c := stateCopy{records: map[string]stateRecord{}}
	content, err := readFile(filepath.Join(dir, copyName), maxCopy)
	if err != nil {
		return c, err
	}
	rest, ok := bytes.CutPrefix(content, []byte(copyMagic))
	if !ok || len(rest) < 12+4 {
		return c, errCopyDamaged
	}
	end := len(content) - 4
	whole := binary.LittleEndian.Uint32(content[end:]) == disk.Checksum(content[:end])
	if whole {
		c.revision = binary.LittleEndian.Uint64(rest)
	}
	rest = rest[12 : len(rest)-4]
	for len(rest) >= 4 {
		size := int64(binary.LittleEndian.Uint32(rest))
		if size > int64(len(rest)-4) {
			break
		}
		if r, err := parseRecord(rest[4 : 4+size]); err == nil && validKey(r.key) {
			c.records[r.key] = r
			c.revision = max(c.revision, r.revision)
		}
		rest = rest[4+size:]
	}
	if !whole {
		return c, errCopyDamaged
	}
	return c, nil
}

// appendCopy appends a record to the copy, if it belongs there.
func appendCopy(b []byte, key string, record []byte) ([]byte, bool) {
	switch copying(key) {
	case kindValue:
	case kindName:
		record = (&stateRecord{kind: kindName, revision: binary.LittleEndian.Uint64(record[5:]), key: key}).encode()
	default:
		return b, false
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(record))) //nolint:gosec // at most maxValue
	return append(b, record...), true
}

// makeCopy returns the content of the second copy.
func makeCopy(tx *bbolt.Tx) ([]byte, error) {
	bucket := tx.Bucket([]byte(bucketName))
	total, err := parseTotal(bucket.Get([]byte(totalKey)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	b := append([]byte(copyMagic), make([]byte, 12)...)
	count := uint32(0)
	cursor := bucket.Cursor()
	for key, record := cursor.First(); key != nil; {
		if string(key) == totalKey {
			key, record = cursor.Next()
			continue
		}
		if past := pastDerived(key); past != "" {
			key, record = cursor.Seek([]byte(past))
			continue
		}
		if _, err := parseRecord(record); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errDamaged, key, err)
		}
		var copied bool
		if b, copied = appendCopy(b, string(key), record); copied {
			count++
		}
		key, record = cursor.Next()
	}
	head := b[len(copyMagic):]
	binary.LittleEndian.PutUint64(head, total.revision)
	binary.LittleEndian.PutUint32(head[8:], count)
	return binary.LittleEndian.AppendUint32(b, disk.Checksum(b)), nil
}

// pastDerived returns the first key after the group of derived keys of key, which may be large.
func pastDerived(key []byte) string {
	for _, prefix := range [...]string{deadPrefix, retryPrefix} {
		if bytes.HasPrefix(key, []byte(prefix)) {
			return prefix[:len(prefix)-1] + string('.'+1)
		}
	}
	return ""
}

// emptyCopy returns the second copy of an unused state.
func emptyCopy() []byte {
	b := append([]byte(copyMagic), make([]byte, 12)...)
	return binary.LittleEndian.AppendUint32(b, disk.Checksum(b))
}

// stateCopies tracks the second copy.
type stateCopies struct {
	mu       sync.Mutex // held while writing it
	outdated atomic.Bool
	wake     chan struct{}
}

// note requests a write of the copy.
func (c *stateCopies) note() {
	c.outdated.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// writeCopy writes the second copy if it is outdated.
func (s *State) writeCopy() error {
	s.copies.mu.Lock()
	defer s.copies.mu.Unlock()
	if !s.copies.outdated.Swap(false) {
		return nil
	}
	var content []byte
	err := s.do(func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			content, err = makeCopy(tx)
			return err
		})
	})
	if err == nil {
		err = replaceFile(s.dir, copyName, content)
	}
	if err != nil {
		s.copies.outdated.Store(true)
		return fmt.Errorf("write the second copy of the state: %w", err)
	}
	return nil
}

// keepCopy writes the second copy shortly after each change of its content.
func (s *State) keepCopy() {
	var failed string
	for wait := copyAfter; ; {
		select {
		case <-s.copies.wake:
		case <-s.closing:
			return
		}
		select {
		case <-time.After(wait):
		case <-s.closing:
			return
		}
		err := s.writeCopy()
		if err == nil {
			wait, failed = copyAfter, ""
			continue
		}
		wait = copyRetry
		s.copies.note()
		if text := err.Error(); text != failed {
			failed = text
			s.log.Error().Err(err).Str("file", filepath.Join(s.dir, copyName)).Msg("the second copy of the state cannot be written; relay goes on trying")
		}
	}
}

// readFile reads a regular file. It does not follow a symbolic link.
func readFile(path string, limit int64) ([]byte, error) {
	file, err := openFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // opened for reading only
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: it has %d bytes, more than it can have: %w", path, info.Size(), errCopyDamaged)
	}
	content := make([]byte, info.Size())
	if _, err := file.ReadAt(content, 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return content, nil
}

// openFile opens a regular file for bbolt. It rejects a symbolic link, whose target may belong to another user.
func openFile(path string, flag int, _ os.FileMode) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	return disk.OpenFile(path, flag)
}

// replaceFile replaces a file atomically, even in a power failure.
func replaceFile(dir, name string, content []byte) error {
	path := filepath.Join(dir, name)
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := openFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return takePlace(temp, path, file.Close(), err)
}

// takePlace renames the file temp to path. written and closed are the errors of writing and closing it; if there is
// one, it removes temp.
func takePlace(temp, path string, closed, written error) error {
	err := cmp.Or(written, closed)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // frees space; the error is reported
		return err
	}
	return disk.SyncDir(filepath.Dir(path))
}
