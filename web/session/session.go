// Package session decides who is logged in to relay's pages: sessions, the one-time links and passwords that open them, and the rate limit of
// attempts.
//
// Sessions are in memory and, with [Sessions.Keep], in a file; links and limits are in memory only. Tokens of sessions and links have 256 random bits;
// only their hashes are stored.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// The limits of sessions and links.
const (
	Idle     = 12 * time.Hour      // a session ends after this time without a request
	Lifetime = 30 * 24 * time.Hour // and at this age in any case
	LinkLife = time.Minute         // a one-time link opens a session within this time

	maxSessions = 256 // of each role; beyond it the one that was used least recently ends
	maxLinks    = 64  // beyond it the oldest one ends
)

// Config says what opens a session.
type Config struct {
	// PasswordFile and ModeratorPasswordFile contain the passwords of the two roles, see [Sessions.LogIn]. Empty: the role has none.
	PasswordFile, ModeratorPasswordFile string
}

// Sessions are all sessions of a relay. Its methods may be called by several goroutines.
type Sessions struct {
	passwords *passwords
	limits    *limits

	mu     sync.Mutex
	open   map[hash]*session
	links  map[hash]link
	keeper *keeper // nil: they are in memory only
}

type hash [sha256.Size]byte

// session is one browser that is logged in.
type session struct {
	role         Role
	opened, used time.Time
	kept         time.Time // the last use that is in the file
	by           proof     // the session ends with its password
}

// link opens one session.
type link struct {
	role Role
	made time.Time
	life time.Duration
	by   proof // that of the session that asked for the link
}

// proof is the password that opened a session, of whichever role, or the session that made its link. The zero value is none: the link was made where
// relay runs.
type proof struct {
	role     Role
	password fingerprint
}

// stands reports whether the password is still that of its role.
func (p proof) stands(valid fingerprints) bool { return p == proof{} || p.password == valid[p.role] }

// New returns an empty set of sessions. The error is a [*FileError] if a password file cannot be used.
func New(cfg Config) (*Sessions, error) {
	p, err := newPasswords(cfg)
	if err != nil {
		return nil, err
	}
	return &Sessions{passwords: p, limits: newLimits(), open: make(map[hash]*session), links: make(map[hash]link)}, nil
}

// HasPassword reports whether a role has a password. Without one only links open sessions.
func (s *Sessions) HasPassword() bool { return s.passwords.any() }

// Problem returns why nobody can log in with a password now although there are password files, or nil. It is a
// [*FileError]. Sessions opened before live on.
func (s *Sessions) Problem() error { return s.passwords.problem() }

// NewLink returns the token of a link that opens one session of a role within [LinkLife]. It panics on a role that has no sessions.
func (s *Sessions) NewLink(role Role) secret.String { return s.NewLinkFor(role, LinkLife) }

// NewLinkFor is NewLink with another life.
func (s *Sessions) NewLinkFor(role Role, life time.Duration) secret.String {
	return s.newLink(role, life, proof{})
}

// contextKey is the key of the session in a context, which is the hash of its token.
type contextKey struct{}

// WithToken returns the context of a request that was sent with the token of a session.
func WithToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, contextKey{}, hashOf(token))
}

// NewLinkBy is NewLink for a request, which may come from a session, see [WithToken]. If a password opened that session, the link, and the session
// that it opens, end with the password too. The error is [ErrEnded] if the session has ended.
func (s *Sessions) NewLinkBy(ctx context.Context, role Role) (secret.String, error) {
	by := proof{}
	if h, ok := ctx.Value(contextKey{}).(hash); ok {
		s.mu.Lock()
		one, ok := s.open[h]
		if ok {
			by = one.by
		}
		s.mu.Unlock()
		if !ok {
			return secret.String{}, ErrEnded
		}
	}
	return s.newLink(role, LinkLife, by), nil
}

func (s *Sessions) newLink(role Role, life time.Duration, by proof) secret.String {
	if !role.LogsIn() {
		panic(fmt.Sprintf("a link for the role %s", role))
	}
	token := newToken()
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, l := range s.links {
		if over(l.made, l.life) {
			delete(s.links, h)
		}
	}
	if len(s.links) >= maxLinks {
		delete(s.links, oldest(s.links, func(l link) time.Time { return l.made }))
	}
	s.links[hashOf(token)] = link{role, time.Now(), life, by}
	return secret.New(token)
}

// UseLink opens a session with the token of a link, which it uses up. client is the address of the browser. The error is [ErrRefused] if the token
// is wrong, old or used, or a [*LimitError] if the client sent too many of those. The right token works at any time: nobody can guess one, and whoever
// shares an address with an attacker, as behind a proxy, still gets in.
func (s *Sessions) UseLink(client netip.Addr, token string) (secret.String, Role, error) {
	valid := s.passwords.current() // before mu, it may read files
	h := hashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.links[h]
	delete(s.links, h)
	if ok && !over(l.made, l.life) && l.by.stands(valid) {
		return s.start(l.role, l.by), l.role, nil
	}
	if err := s.limits.link(client); err != nil {
		return secret.String{}, None, err
	}
	return secret.String{}, None, ErrRefused
}

// LogIn opens a session with a password, of the role whose password it is. It reads the password files again, so that a new password counts at
// once. client is the address of the browser. The error is [ErrRefused] if the password is wrong, [ErrNoPassword] if no role has one, a
// [*LimitError], or names a file that cannot be used.
func (s *Sessions) LogIn(client netip.Addr, password string) (secret.String, Role, error) {
	if !s.HasPassword() {
		return secret.String{}, None, ErrNoPassword
	}
	if err := s.limits.password(client); err != nil {
		return secret.String{}, None, err
	}
	role, fp, err := s.passwords.check(password)
	if err != nil {
		return secret.String{}, None, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start(role, proof{role, fp}), role, nil
}

// start opens a session. The caller holds mu.
func (s *Sessions) start(role Role, by proof) secret.String {
	same := make(map[hash]*session)
	for h, one := range s.open {
		switch {
		case one.expired():
			delete(s.open, h)
		case one.role == role:
			same[h] = one
		}
	}
	if len(same) >= maxSessions {
		delete(s.open, oldest(same, func(one *session) time.Time { return one.used }))
	}
	token, now := newToken(), time.Now()
	s.open[hashOf(token)] = &session{role: role, opened: now, used: now, by: by}
	s.save()
	return secret.New(token)
}

// Role returns the role of the session with this token, and counts as its use. It is [None] if there is no such session, or it has ended.
func (s *Sessions) Role(token string) Role {
	if len(token) != tokenLength {
		return None
	}
	valid := s.passwords.current() // before mu, it may read files
	h := hashOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.open[h]
	if !ok {
		return None
	}
	if one.expired() || !one.by.stands(valid) {
		delete(s.open, h)
		s.save()
		return None
	}
	one.used = time.Now()
	if over(one.kept, keptEvery) {
		one.kept = one.used // also if it fails, so that not every request writes
		s.save()
	}
	return one.role
}

// Count returns how many sessions each role has that logs in.
func (s *Sessions) Count() map[Role]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[Role]int{Owner: 0, Moderator: 0}
	for _, one := range s.open {
		if !one.expired() {
			all[one.role]++
		}
	}
	return all
}

// End ends the session with this token, if there is one.
func (s *Sessions) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := hashOf(token)
	if _, ok := s.open[h]; ok {
		delete(s.open, h)
		s.save()
	}
}

// EndAll ends all sessions, and makes all links useless.
func (s *Sessions) EndAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.open)
	clear(s.links)
	s.save()
}

func (one *session) expired() bool { return over(one.used, Idle) || over(one.opened, Lifetime) }

// over reports whether more than a duration has passed, by the monotonic clock or by the wall clock: the former may stop while the machine sleeps,
// the latter may be set back.
func over(since time.Time, d time.Duration) bool {
	now := time.Now()
	return now.Sub(since) > d || now.Round(0).Sub(since.Round(0)) > d
}

func oldest[V any](all map[hash]V, at func(V) time.Time) (first hash) {
	var least time.Time
	for h, v := range all {
		if t := at(v); least.IsZero() || t.Before(least) {
			first, least = h, t
		}
	}
	return first
}

const (
	tokenBytes  = 32
	tokenLength = 43 // in base64 without padding
)

func newToken() string {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // it never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }
