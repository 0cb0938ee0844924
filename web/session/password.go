package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
)

const (
	// MinPassword is the least length of a password in characters.
	MinPassword = 12
	// MaxPassword is the greatest length of a password in bytes.
	MaxPassword = 1024

	// fileCheck is how often the files are checked for a change while sessions are used.
	fileCheck = 2 * time.Second
)

// passwords are the passwords of the roles, in files.
type passwords struct {
	salt  [sha256.Size]byte // of this process: outside it, a fingerprint is useless
	files []passwordFile

	mu      sync.Mutex
	checked time.Time
	stats   [2]os.FileInfo // of the files as they were read, in their order
	valid   fingerprints
	fault   error // why the files cannot be used now

	verifiers map[proof][]byte // for the file of the sessions, see [Sessions.Keep]
}

// passwordFile has the password of a role.
type passwordFile struct {
	role      Role
	key, path string
}

// fingerprint identifies a password. All have the same length, so that a comparison does not reveal that of a password.
type fingerprint [sha256.Size]byte

// fingerprints are those of the passwords, by role. That of a role without a password is zero.
type fingerprints [Owner + 1]fingerprint

func newPasswords(cfg Config) (*passwords, error) {
	p := &passwords{}
	_, _ = rand.Read(p.salt[:]) // it never fails
	for _, f := range []passwordFile{
		{Owner, "http.password_file", cfg.PasswordFile}, {Moderator, "http.moderator_password_file", cfg.ModeratorPasswordFile},
	} {
		if f.path != "" {
			p.files = append(p.files, f)
		}
	}
	return p, p.read()
}

func (p *passwords) any() bool { return len(p.files) > 0 }

// check returns the role whose password this is.
func (p *passwords) check(password string) (Role, fingerprint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.read(); err != nil {
		return None, fingerprint{}, err
	}
	role, given := None, fingerprint{}
	if len(password) <= MaxPassword {
		given = p.fingerprint(password)
	}
	for _, f := range p.files { // all of them, so that the time does not reveal which one matches
		if hmac.Equal(given[:], p.valid[f.role][:]) {
			role = f.role
		}
	}
	if role == None || given == (fingerprint{}) {
		return None, fingerprint{}, ErrRefused
	}
	return role, given, nil
}

// current returns the fingerprints of the passwords. It reads the files again if they changed. If one cannot be used now, its last password
// remains, so that replacing a file logs nobody out.
func (p *passwords) current() fingerprints {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	return p.valid
}

// problem returns why the files cannot be used now, if they cannot. A [*FileError] has the key.
func (p *passwords) problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	return p.fault
}

// refresh reads the files again if they changed since the last check. The caller holds mu.
func (p *passwords) refresh() {
	if !p.any() || !over(p.checked, fileCheck) {
		return
	}
	p.checked = time.Now()
	if p.fault != nil || p.changed() {
		_ = p.read() // problem returns the error
	}
}

// changed reports whether a file is not the one that was read. The caller holds mu.
func (p *passwords) changed() bool {
	for i, f := range p.files {
		now, err := os.Stat(f.path)
		if err != nil || !sameFile(now, p.stats[i]) {
			return true
		}
	}
	return false
}

func sameFile(a, b os.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read reads the files. If one cannot be used, everything else remains as it was. The caller holds mu, if anybody else knows p.
func (p *passwords) read() error {
	p.fault = p.load()
	return p.fault
}

func (p *passwords) load() error {
	var valid fingerprints
	var stats [2]os.FileInfo
	for i, f := range p.files {
		stats[i], _ = os.Stat(f.path) // before it is read: a change meanwhile is seen at the next check
		password, err := f.read()
		if err != nil {
			return err
		}
		valid[f.role] = p.fingerprint(password.Reveal())
	}
	if len(p.files) == 2 && valid[Owner] == valid[Moderator] {
		return &FileError{p.files[1].key, fmt.Errorf("%s has the same password as %s; give moderators another one", p.files[1].path, p.files[0].key)}
	}
	p.valid, p.stats, p.checked = valid, stats, time.Now()
	return nil
}

// read returns the password in the file. The error does not quote it.
func (f *passwordFile) read() (secret.String, error) {
	password, err := secret.ReadLine(f.path)
	if err != nil {
		return secret.String{}, f.fault("%w; write a password of at least %d characters in one line of the file", err, MinPassword)
	}
	n := utf8.RuneCountInString(password.Reveal())
	switch {
	case n < MinPassword:
		return secret.String{}, f.fault("%s: the password has %d characters; choose one of at least %d", f.path, n, MinPassword)
	case len(password.Reveal()) > MaxPassword:
		return secret.String{}, f.fault("%s: the password has %d bytes; choose one of at most %d", f.path, len(password.Reveal()), MaxPassword)
	}
	return password, nil
}

func (f *passwordFile) fault(format string, args ...any) error {
	return &FileError{f.key, fmt.Errorf(format, args...)}
}

func (p *passwords) fingerprint(password string) (f fingerprint) {
	mac := hmac.New(sha256.New, p.salt[:])
	mac.Write([]byte(password))
	mac.Sum(f[:0])
	return f
}
