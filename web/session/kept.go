package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/treatrelay/relay/internal/atomicfile"
)

const (
	keptEvery   = 10 * time.Minute // how far the last use in the file may be behind
	maxKept     = 1 << 20          // bytes of the file
	verifierRun = 600_000          // iterations, so that whoever reads the file cannot guess a password with it
)

// A keeper keeps sessions in a file, so that they survive a restart. The file has neither tokens nor passwords, only hashes.
type keeper struct {
	path   string
	failed func(error)

	// The caller holds the lock of the sessions.
	kept keptFile
}

// keptFile is the file.
type keptFile struct {
	Salt []byte `json:"salt"`
	// Passwords verify the passwords of the roles, by the name of the role. If one is another now, its sessions have ended.
	Passwords map[string][]byte `json:"passwords,omitempty"`
	Sessions  []keptSession     `json:"sessions"`
}

type keptSession struct {
	Hash   []byte    `json:"hash"` // of the token
	Role   string    `json:"role"`
	By     string    `json:"by,omitempty"` // the role whose password opened it
	Opened time.Time `json:"opened"`
	Used   time.Time `json:"used"`
}

// Keep takes over the sessions in a file, if it is there, and keeps all sessions in it from now on, so that a restart of relay signs nobody out. It must
// be called before others use s, and at most once. failed gets the errors of later writes; it must not call s. The error says why the file cannot be
// used; the sessions are then in memory only.
func (s *Sessions) Keep(path string, failed func(error)) error {
	k := &keeper{path: path, failed: failed}
	err := k.read()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		k.kept = keptFile{}
	}
	valid := s.passwords.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range k.kept.Sessions {
		role, by := roleOf(one.Role), proof{}
		if !role.LogsIn() || len(one.Hash) != len(hash{}) {
			continue
		}
		if one.By != "" {
			by.role = roleOf(one.By)
			if by.password = valid[by.role]; !by.role.LogsIn() || !s.passwords.verifies(by.role, k.kept.Salt, k.kept.Passwords[one.By]) {
				continue
			}
		}
		kept := &session{role: role, opened: one.Opened, used: one.Used, kept: one.Used, by: by}
		if future := time.Now().Add(keptEvery); !kept.expired() && !one.Opened.After(future) && !one.Used.After(future) {
			s.open[hash(one.Hash)] = kept
		}
	}
	s.keeper = k
	return errors.Join(err, k.write(s))
}

// read reads the file.
func (k *keeper) read() (err error) {
	f, err := os.Open(k.path)
	if err != nil {
		return fmt.Errorf("read the sessions of the dashboard: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxKept))
	if err == nil {
		err = json.Unmarshal(data, &k.kept)
	}
	if err != nil {
		return fmt.Errorf("read the sessions of the dashboard in %s: %w", k.path, err)
	}
	return nil
}

// save writes the file, if there is one. The caller holds mu.
func (s *Sessions) save() {
	if s.keeper == nil {
		return
	}
	if err := s.keeper.write(s); err != nil {
		s.keeper.failed(err)
	}
}

// write writes the sessions that have not ended. The caller holds mu.
func (k *keeper) write(s *Sessions) error {
	if len(k.kept.Salt) == 0 {
		k.kept.Salt = make([]byte, sha256.Size)
		_, _ = rand.Read(k.kept.Salt) // it never fails
	}
	k.kept.Sessions = []keptSession{}
	verifiers := make(map[string][]byte)
	for h, one := range s.open {
		if one.expired() {
			continue
		}
		kept := keptSession{Hash: bytes.Clone(h[:]), Role: one.role.String(), Opened: one.opened.Round(0), Used: one.used.Round(0)}
		if one.by != (proof{}) {
			kept.By = one.by.role.String()
			verifier := s.passwords.verifier(one.by, k.kept.Salt)
			if verifier == nil { // the password is another now
				continue
			}
			verifiers[kept.By] = verifier
		}
		one.kept = one.used
		k.kept.Sessions = append(k.kept.Sessions, kept)
	}
	k.kept.Passwords = verifiers
	data, err := json.Marshal(k.kept)
	if err == nil {
		err = atomicfile.Write(k.path, data)
	}
	if err != nil {
		return fmt.Errorf("keep the sessions of the dashboard in %s: %w", k.path, err)
	}
	return nil
}

// verifies reports whether a verifier of the file is that of the password of a role.
func (p *passwords) verifies(role Role, salt, verifier []byte) bool {
	own := p.verifier(proof{role, p.current()[role]}, salt)
	return len(own) > 0 && hmac.Equal(own, verifier)
}

// verifier returns what verifies a password in the file, or nil if the role has another one now, or none. It takes a moment for a new password.
func (p *passwords) verifier(by proof, salt []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by.password == (fingerprint{}) || by.password != p.valid[by.role] {
		return nil
	}
	if made, ok := p.verifiers[by]; ok {
		return made
	}
	for _, f := range p.files {
		if f.role != by.role {
			continue
		}
		password, err := f.read()
		if err != nil || p.fingerprint(password.Reveal()) != by.password {
			return nil
		}
		made, err := pbkdf2.Key(sha256.New, password.Reveal(), salt, verifierRun, sha256.Size)
		if err != nil {
			return nil
		}
		if p.verifiers == nil {
			p.verifiers = make(map[proof][]byte)
		}
		p.verifiers[by] = made
		return made
	}
	return nil
}

func roleOf(name string) Role {
	for _, r := range []Role{Moderator, Owner} {
		if r.String() == name {
			return r
		}
	}
	return None
}
