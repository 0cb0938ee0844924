package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// Sealer encrypts what a [FileStore] writes.
type Sealer interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// FileStore keeps each grant in a file of its own, ACCOUNT.json, in a directory of its own. Only the user may read either:
// a file or directory with a looser mode is refused, with the command that corrects it (not on Windows, which has no
// such modes). A file is replaced by an atomic rename after an fsync, so that there is always a whole one. Methods may be
// called at once from many goroutines and processes; the last Save stands.
//
// With a sealer, a file of plain JSON, as an older relay wrote it, is read all the same, and sealed at the next Save.
type FileStore struct {
	dir    string
	sealer Sealer

	mu    sync.Mutex
	known map[string]reading // by account
}

// reading is what a file held when it was read.
type reading struct {
	info  fs.FileInfo
	grant Grant
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

// NewFileStore makes the directory when it is not there, and clears away what a killed process left half written. A nil
// sealer stores plain JSON.
func NewFileStore(dir string, sealer Sealer) (*FileStore, error) {
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
		return nil, fmt.Errorf("open token directory %s: others may look into it (mode %04o); run: chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	s := &FileStore{dir: dir, sealer: sealer, known: map[string]reading{}}
	s.sweep()
	return s, nil
}

// What others must not be allowed, in the bits of a file's mode.
const (
	anything fs.FileMode = 0o077
	writing  fs.FileMode = 0o022
)

func tooOpen(info fs.FileInfo, forbidden fs.FileMode) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0
}

// looseMode is the error for a file of secrets that others may read or change.
type looseMode struct {
	path string
	mode fs.FileMode
}

func (e *looseMode) Error() string {
	may := "read"
	if e.mode&writing != 0 {
		may = "change"
	}
	return fmt.Sprintf("others may %s %s (mode %04o); run: chmod 600 %s", may, e.path, e.mode, e.path)
}

// sweep removes temporary files that nobody can be writing any more. They hold tokens.
func (s *FileStore) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*"+tempSuffix))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path)
		}
	}
}

func (s *FileStore) path(account string) (string, error) {
	if !validName(account) {
		return "", fmt.Errorf("%q is not the name of an account", account)
	}
	return filepath.Join(s.dir, account+suffix), nil
}

// record is the content of a file.
type record struct {
	Version       int       `json:"version"`
	Account       string    `json:"account"`
	Provider      string    `json:"provider"`
	State         State     `json:"state"`
	Reason        string    `json:"reason,omitempty"`
	Generation    int64     `json:"generation"`
	ObtainedAt    time.Time `json:"obtained_at"`
	Expiry        time.Time `json:"expiry"`
	RefreshExpiry time.Time `json:"refresh_expiry,omitzero"`
	TokenType     string    `json:"token_type,omitempty"`
	Scope         string    `json:"scope,omitempty"`
	AccessToken   string    `json:"access_token"`
	RefreshToken  string    `json:"refresh_token,omitempty"`

	Login loginRecord `json:"login,omitzero"`
}

// loginRecord is a [LoginMark].
type loginRecord struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Adopted bool      `json:"adopted,omitempty"`
}

// Load implements [Store]. A file that did not change since it was last read is not read again.
func (s *FileStore) Load(account string) (Grant, error) {
	path, err := s.path(account)
	if err != nil {
		return Grant{}, fmt.Errorf("load grant: %w", err)
	}
	if g, ok := s.recall(account, path); ok {
		return g, nil
	}
	content, info, err := readPrivate(path, anything)
	if errors.Is(err, fs.ErrNotExist) {
		return Grant{}, ErrNoGrant
	}
	if _, loose := errors.AsType[*looseMode](err); loose {
		return Grant{}, fmt.Errorf("load grant: %w: %w", ErrUnusable, err)
	}
	if err != nil {
		return Grant{}, fmt.Errorf("load grant: %w", err)
	}
	g, err := s.decode(account, content)
	if err != nil {
		return Grant{}, fmt.Errorf("load grant: %w: %s: %w", ErrUnusable, path, err)
	}
	if age := time.Since(info.ModTime()); age > settledAfter {
		s.mu.Lock()
		s.known[account] = reading{info, g}
		s.mu.Unlock()
	}
	return g, nil
}

// recall gives what the file held when it was last read, if it is still the same file.
func (s *FileStore) recall(account, path string) (Grant, bool) {
	s.mu.Lock()
	last, ok := s.known[account]
	s.mu.Unlock()
	if !ok {
		return Grant{}, false
	}
	info, err := os.Stat(path)
	ok = err == nil && os.SameFile(info, last.info) && info.Mode() == last.info.Mode() &&
		info.Size() == last.info.Size() && info.ModTime().Equal(last.info.ModTime())
	return last.grant, ok
}

// readPrivate reads a file of secrets. It refuses, with a *looseMode, one that others may do what is forbidden with.
func readPrivate(path string, forbidden fs.FileMode) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path) //nolint:gosec // The user names it, or its name was checked.
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if tooOpen(info, forbidden) {
		return nil, nil, &looseMode{path, info.Mode().Perm()}
	}
	content, err := io.ReadAll(io.LimitReader(f, recordLimit))
	return content, info, err
}

// Plain lists the accounts whose grants are not sealed though the store has a sealer. Each is sealed when it is next saved.
func (s *FileStore) Plain() []string {
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
func (s *FileStore) decode(account string, content []byte) (Grant, error) {
	switch {
	case s.sealer == nil && Sealed(content):
		return Grant{}, errors.New("it is sealed, and there is no identity to open it with")
	case s.sealer != nil && !isPlain(content):
		var err error
		if content, err = s.sealer.Open(content); err != nil {
			return Grant{}, err
		}
	}
	return decodeRecord(account, content)
}

// decodeRecord reads a file's content. Its error quotes none of it.
func decodeRecord(account string, content []byte) (Grant, error) {
	var r record
	err := json.Unmarshal(content, &r)
	switch {
	case err != nil:
		return Grant{}, errors.New("damaged: not the JSON of a grant")
	case r.Version > recordVersion:
		return Grant{}, fmt.Errorf("written by a newer relay (version %d, this one knows %d)", r.Version, recordVersion)
	case r.Account != account:
		return Grant{}, errors.New("damaged: it is the grant of another account")
	case r.Version != recordVersion, r.AccessToken == "", r.Generation < 1, r.Expiry.IsZero(),
		r.State != Active && r.State != ReauthorizeNeeded && r.State != RefreshOutcomeUnknown:
		return Grant{}, errors.New("damaged: a field is missing or makes no sense")
	}
	return Grant{
		Provider:      r.Provider,
		AccessToken:   secret.New(r.AccessToken),
		RefreshToken:  secret.New(r.RefreshToken),
		TokenType:     r.TokenType,
		Scope:         r.Scope,
		ObtainedAt:    r.ObtainedAt,
		Expiry:        r.Expiry,
		RefreshExpiry: r.RefreshExpiry,
		Generation:    r.Generation,
		State:         r.State,
		Reason:        r.Reason,
		Login:         LoginMark(r.Login),
	}, nil
}

// encodeRecord gives the content of a file, unsealed.
func encodeRecord(account string, g Grant) ([]byte, error) {
	content, err := json.MarshalIndent(record{
		Version:       recordVersion,
		Account:       account,
		Provider:      g.Provider,
		State:         g.State,
		Reason:        g.Reason,
		Generation:    g.Generation,
		ObtainedAt:    g.ObtainedAt,
		Expiry:        g.Expiry,
		RefreshExpiry: g.RefreshExpiry,
		TokenType:     g.TokenType,
		Scope:         g.Scope,
		AccessToken:   g.AccessToken.Reveal(),
		RefreshToken:  g.RefreshToken.Reveal(),
		Login:         loginRecord(g.Login),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(content, '\n'), nil
}

// Save implements [Store].
func (s *FileStore) Save(account string, g Grant) error {
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
	if err := replaceFile(path, content); err != nil {
		return fmt.Errorf("save grant: %w", err)
	}
	return nil
}

// replaceFile puts content in place of path, such that a crash at any moment leaves the old file or the new one.
func replaceFile(path string, content []byte) error {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(dir, "."+strings.TrimSuffix(name, suffix)+".*"+tempSuffix) // With mode 0600.
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename survive a power cut.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // It cannot open directories, and needs none of this.
	}
	d, err := os.Open(dir) //nolint:gosec // The directory is the store's own.
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// Delete implements [Store].
func (s *FileStore) Delete(account string) error {
	path, err := s.path(account)
	if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return ErrNoGrant
	} else if err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("delete grant: %w", err)
	}
	return nil
}
