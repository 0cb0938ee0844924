// Package authtest has helpers that tests of several packages below auth share.
package authtest

import (
	"bytes"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/store"
)

// Day is one of 24 hours.
const Day = 24 * time.Hour

// Log is a log for concurrent writers that a test reads.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns everything written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// NewStore returns a store without a sealer, in a temporary directory.
func NewStore(t *testing.T) (files *store.Files, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "tokens")
	files, err := store.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return files, dir
}
