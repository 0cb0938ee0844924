// Package store keeps grants in files, sealed with an age identity of the user, and moves them between machines.
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

// Sealer encrypts and decrypts the files of a [Files]. It must be safe for concurrent use.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Files keeps each grant in its own file, ACCOUNT.json, in its own directory. Only the user may read either: a file or
// directory with a looser mode is refused, and the error has the command that fixes it. Windows has no such modes. A
// file is replaced by fsync and atomic rename, so there is always a whole one. Files is safe for concurrent use by
// goroutines and processes; the last Save wins.
//
// With a sealer, a file of plain JSON, as older versions of relay wrote it, is still read, and sealed at the next Save.
type Files struct {
	dir    string
	sealer Sealer

	mu    sync.Mutex
	known map[string]reading // by account
}

// reading is the content of a file at its last read.
type reading struct {
	info  fs.FileInfo
	grant grant.Grant
}

const (
	recordVersion = 1
	recordLimit   = 1 << 20 // bytes
	suffix        = ".json"
	tempSuffix    = ".tmp"
	// settledAfter is the age from which a file with the same inode, time and size counts as unchanged: file systems
	// store times with a resolution of up to two seconds.
	settledAfter = 3 * time.Second
)

// Open returns the store in dir. It creates dir if needed, and removes temporary files of killed processes. A nil
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

// sweep removes abandoned temporary files, which may have tokens.
func (f *Files) sweep() {
	left, _ := filepath.Glob(filepath.Join(f.dir, ".*"+tempSuffix))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}

func (f *Files) path(account string) (string, error) {
	if !grant.ValidAccount(account) {
		return "", fmt.Errorf("%q is not the name of an account", account)
	}
	return filepath.Join(f.dir, account+suffix), nil
}

// Load returns the grant of an account. The error is or wraps [grant.ErrNone] if there is none, and wraps
// [grant.ErrUnusable] if a person must repair the file. A file that has not changed is not read again.
func (f *Files) Load(account string) (grant.Grant, error) {
	path, err := f.path(account)
	if err != nil {
		return grant.Grant{}, fmt.Errorf("load grant: %w", err)
	}
	if g, ok := f.recall(account, path); ok {
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
	g, err := f.decode(account, content)
	if err != nil {
		return grant.Grant{}, fmt.Errorf("load grant: %w: %s: %w", grant.ErrUnusable, path, err)
	}
	if age := time.Since(info.ModTime()); age > settledAfter {
		f.mu.Lock()
		f.known[account] = reading{info, g}
		f.mu.Unlock()
	}
	return g, nil
}

// recall returns the grant from the last read if the file has not changed since.
func (f *Files) recall(account, path string) (grant.Grant, bool) {
	f.mu.Lock()
	last, ok := f.known[account]
	f.mu.Unlock()
	if !ok {
		return grant.Grant{}, false
	}
	info, err := os.Stat(path)
	ok = err == nil && os.SameFile(info, last.info) && info.Mode() == last.info.Mode() &&
		info.Size() == last.info.Size() && info.ModTime().Equal(last.info.ModTime())
	return last.grant, ok
}

// Plain returns the accounts whose grants are not sealed although the store has a sealer. The next Save seals them.
func (f *Files) Plain() []string {
	var plain []string
	all, _ := filepath.Glob(filepath.Join(f.dir, "*"+suffix))
	for _, path := range all {
		if content, _, err := readPrivate(path, anything); err == nil && f.sealer != nil && isPlain(content) {
			plain = append(plain, strings.TrimSuffix(filepath.Base(path), suffix))
		}
	}
	return plain
}

func isPlain(content []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(content), []byte("{")) }

// decode opens and decodes the content of a file. Its error quotes no part of it.
func (f *Files) decode(account string, content []byte) (grant.Grant, error) {
	switch {
	case f.sealer == nil && Sealed(content):
		return grant.Grant{}, errors.New("it is sealed, and there is no identity to open it with")
	case f.sealer != nil && !isPlain(content):
		var err error
		if content, err = f.sealer.Open(content); err != nil {
			return grant.Grant{}, err
		}
	}
	return decodeRecord(account, content)
}

// Save replaces the grant of an account. Once it returns nil, the grant survives a power failure.
func (f *Files) Save(account string, g grant.Grant) error {
	path, err := f.path(account)
	if err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	content, err := encodeRecord(account, g)
	if err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	if f.sealer != nil {
		if content, err = f.sealer.Seal(content); err != nil {
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

// Delete removes the grant of an account. The error is or wraps [grant.ErrNone] if there is none.
func (f *Files) Delete(account string) error {
	path, err := f.path(account)
	if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return grant.ErrNone
	} else if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := atomicfile.SyncDir(f.dir); err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	return nil
}
