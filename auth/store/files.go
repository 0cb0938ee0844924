// Package store keeps grants in files, sealed with an identity of this machine's user, and takes them to another machine.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/atomicfile"
)

// Sealer encrypts what a [Files] writes.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Files keeps each grant in a file of its own, ACCOUNT.json, in a directory of its own. Only the user may read either:
// a file or directory with a looser mode is refused, with the command that corrects it (not on Windows, which has no
// such modes). A file is replaced by an atomic rename after an fsync, so that there is always a whole one. Methods may be
// called at once from many goroutines and processes; the last Save stands.
//
// With a sealer, a file of plain JSON, as an older relay wrote it, is read all the same, and sealed at the next Save.
type Files struct {
	dir    string
	sealer Sealer

	mu    sync.Mutex
	known map[string]reading // by account
}

// reading is what a file held when it was read.
type reading struct {
	info  fs.FileInfo
	grant grant.Grant
}

const (
	recordVersion = 1
	recordLimit   = 1 << 20 // bytes
	suffix        = ".json"
	tempSuffix    = ".tmp"
	// settledAfter is the age from which on a file that has the same number, time and size is the same file: file
	// systems count time in steps of up to two seconds.
	settledAfter = 3 * time.Second
)

// Open makes the directory when it is not there, and clears away what a killed process left half written. A nil
// sealer stores plain JSON.
func Open(dir string, sealer Sealer) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make token directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("open token directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open token directory %s: not a directory", dir)
	}
	if tooOpen(info, anything) {
		return nil, &advice.Error{
			Err: fmt.Errorf("open token directory %s: others may look into it (mode %04o)", dir, info.Mode().Perm()),
			Fix: advice.Run("chmod 700 " + dir),
		}
	}
	s := &Files{dir: dir, sealer: sealer, known: map[string]reading{}}
	s.sweep()
	return s, nil
}

// sweep removes temporary files that nobody can be writing any more. They hold tokens.
func (s *Files) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"+tempSuffix))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}

func (s *Files) path(account string) (string, error) {
	if !grant.ValidAccount(account) {
		return "", fmt.Errorf("%q is not the name of an account", account)
	}
	return filepath.Join(s.dir, account+suffix), nil
}

// Load gives the grant of an account. Its error is or wraps [grant.ErrNone] when there is none, and wraps [grant.ErrUnusable]
// when there is one that only a person can repair. A file that did not change since it was last read is not read again.
func (s *Files) Load(account string) (grant.Grant, error) {
	path, err := s.path(account)
	if err != nil {
		return grant.Grant{}, fmt.Errorf("load grant: %w", err)
	}
	if g, ok := s.recall(account, path); ok {
		return g, nil
	}
	content, info, err := readPrivate(path, anything)
	if errors.Is(err, fs.ErrNotExist) {
		return grant.Grant{}, grant.ErrNone
	}
	if _, loose := errors.AsType[*looseMode](err); loose {
		return grant.Grant{}, fmt.Errorf("load grant: %w: %w", grant.ErrUnusable, err)
	}
	if err != nil {
		return grant.Grant{}, fmt.Errorf("load grant: %w", err)
	}
	g, err := s.decode(account, content)
	if err != nil {
		return grant.Grant{}, fmt.Errorf("load grant: %w: %s: %w", grant.ErrUnusable, path, err)
	}
	if age := time.Since(info.ModTime()); age > settledAfter {
		s.mu.Lock()
		s.known[account] = reading{info, g}
		s.mu.Unlock()
	}
	return g, nil
}

// recall gives what the file held when it was last read, if it is still the same file.
func (s *Files) recall(account, path string) (grant.Grant, bool) {
	s.mu.Lock()
	last, ok := s.known[account]
	s.mu.Unlock()
	if !ok {
		return grant.Grant{}, false
	}
	info, err := os.Stat(path)
	ok = err == nil && os.SameFile(info, last.info) && info.Mode() == last.info.Mode() &&
		info.Size() == last.info.Size() && info.ModTime().Equal(last.info.ModTime())
	return last.grant, ok
}

// Plain lists the accounts whose grants are not sealed though the store has a sealer. Each is sealed when it is next saved.
func (s *Files) Plain() []string {
	var plain []string
	all, _ := filepath.Glob(filepath.Join(s.dir, "*"+suffix))
	for _, path := range all {
		if content, _, err := readPrivate(path, anything); err == nil && s.sealer != nil && isPlain(content) {
			plain = append(plain, strings.TrimSuffix(filepath.Base(path), suffix))
		}
	}
	return plain
}

func isPlain(content []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) }

// decode opens and reads a file's content. Its error quotes none of it.
func (s *Files) decode(account string, content []byte) (grant.Grant, error) {
	switch {
	case s.sealer == nil && Sealed(content):
		return grant.Grant{}, errors.New("it is sealed, and there is no identity to open it with")
	case s.sealer != nil && !isPlain(content):
		var err error
		if content, err = s.sealer.Open(content); err != nil {
			return grant.Grant{}, err
		}
	}
	return decodeRecord(account, content)
}

// Save replaces the grant of an account. When it returns nil, the grant survives a power cut.
func (s *Files) Save(account string, g grant.Grant) error {
	path, err := s.path(account)
	if err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	content, err := encodeRecord(account, g)
	if err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	if s.sealer != nil {
		if content, err = s.sealer.Seal(content); err != nil {
			return fmt.Errorf("save grant: seal: %w", err)
		}
	}
	if len(content) > recordLimit {
		return fmt.Errorf("save grant: it takes %d bytes, and no more than %d are read back", len(content), recordLimit)
	}
	if err := atomicfile.Write(path, content); err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	return nil
}

// Delete forgets the grant of an account. Its error is or wraps [grant.ErrNone] when there is none.
func (s *Files) Delete(account string) error {
	path, err := s.path(account)
	if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return grant.ErrNone
	} else if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := atomicfile.SyncDir(s.dir); err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	return nil
}
