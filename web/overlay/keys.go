package overlay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// keyPrefix begins every key, so that secret scanners can recognize one.
const keyPrefix = "rok_"

// Key is a key of an overlay without the secret.
type Key struct {
	ID      string    `json:"id"`      // the first 8 digits of the hash
	Hash    string    `json:"hash"`    // SHA-256 of the key, in hexadecimal
	Account string    `json:"account"` // the only account that the key opens; empty: all
	Created time.Time `json:"created"`
}

// newKey makes a key from 32 random bytes.
func newKey(account string, now time.Time) (secret.String, Key) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails (Go 1.24)
	text := keyPrefix + base64.RawURLEncoding.EncodeToString(random)
	hash := hashKey(text)
	return secret.New(text), Key{ID: hash[:8], Hash: hash, Account: account, Created: now}
}

func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// NewKey makes a key of the overlay and saves its hash. Nothing keeps the key itself, so it can be shown only now.
func (s *Stage) NewKey(ctx context.Context, account string) (secret.String, Key, error) {
	text, k := newKey(account, time.Now().UTC().Truncate(time.Second))
	err := s.change(ctx, func() { s.saved.Keys = append(slices.Clip(s.saved.Keys), k) })
	if err != nil { // a key that is not saved ends with this process
		_ = s.change(ctx, func() {
			s.saved.Keys = slices.DeleteFunc(slices.Clone(s.saved.Keys), func(o Key) bool { return o.Hash == k.Hash })
		})
		return secret.String{}, Key{}, fmt.Errorf("make key of overlay %s: %w", s.name, err)
	}
	return text, k, nil
}

// OpensFor returns [ErrOtherAccounts] if a key for an account does not open the overlay's page, because it shows other accounts too.
func (s *Stage) OpensFor(account string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.settings.opensFor(account) {
		return ErrOtherAccounts
	}
	return nil
}

// RevokeKey removes a key by its id, and closes every page of the overlay. Those with another key connect again. If
// there is no such key, the error is [ErrNoKey].
func (s *Stage) RevokeKey(ctx context.Context, id string) error {
	found := false
	err := s.change(ctx, func() {
		kept := slices.DeleteFunc(slices.Clone(s.saved.Keys), func(k Key) bool { return k.ID == id })
		if found = len(kept) < len(s.saved.Keys); found {
			s.saved.Keys = kept
			s.closePages()
			if len(kept) == 0 { // no page can come back with the alert
				s.withdraw()
				s.turn = nil
			}
		}
	})
	switch {
	case !found:
		return fmt.Errorf("revoke key %.16q of overlay %s: %w", id, s.name, ErrNoKey)
	case err != nil:
		return fmt.Errorf("revoke key %s of overlay %s: %w", id, s.name, err)
	}
	return nil
}

// Keys returns the keys of the overlay, the oldest first.
func (s *Stage) Keys() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.saved.Keys)
}

// Check reports which overlay a key opens, and which account alone; an empty account means all. It compares only hashes,
// so the time that it takes reveals nothing about a key.
func (s *Stages) Check(key string) (overlay, account string, ok bool) {
	if len(key) > 100 || !strings.HasPrefix(key, keyPrefix) {
		return "", "", false
	}
	hash := hashKey(key)
	for _, st := range s.all() {
		for _, k := range st.Keys() {
			if k.Hash == hash {
				return st.name, k.Account, true
			}
		}
	}
	return "", "", false
}
