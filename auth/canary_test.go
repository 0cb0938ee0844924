package auth_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
)

// Nothing that a relay leaves on disk, hands out or prints while it dies shows a token or the identity.
func TestProperty09NothingShowsASecret(t *testing.T) {
	s := newShared(t)
	reg := prometheus.NewRegistry()
	s.measured(t, reg)
	s.age(t, 31*day)
	s.fake.fault("/refresh", says(500, ""))
	_, _ = s.Token(t.Context())
	key, err := os.ReadFile(s.identity)
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(key), "AGE-SECRET-KEY-")
	s.fake.mu.Lock()
	s.fake.issued = append(s.fake.issued, "AGE-SECRET-KEY", strings.TrimSpace(own))
	s.fake.mu.Unlock()

	files := 0
	err = filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		s.fake.findSecrets(path, string(content))
		return err
	})
	if err != nil || files != 2 {
		t.Errorf("%d files in the store, want the grant and the lock: %v", files, err)
	}
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: s.identity})
	if err != nil {
		t.Fatal(err)
	}
	export, err := s.store.Export("mystream", store.ExportKey{Recipient: id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	s.fake.findSecrets("the export", string(export))
	s.fake.findSecrets("the metrics", metrics(t, reg))
	status, err := s.Status()
	if err != nil {
		t.Fatal(err)
	}
	sealer := store.NewAgeSealer(id)
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(s.dir, "mystream.json"), long, long); err != nil {
		t.Fatal(err)
	}
	s.grant(t) // The store remembers it now.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{id, &id, sealer, s.store, s.Account, s.grant(t), status, store.ImportOptions{Identity: id}} {
			s.fake.findSecrets(fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v))
		}
	}
}

// A panic with everything secret at hand, and with the stacks of all goroutines.
func TestProperty09PanicShowsNoSecret(t *testing.T) {
	s := newShared(t)
	for _, level := range []string{"single", "all", "system"} {
		c := authtest.Send(t, s.task("panic"), "GOTRACEBACK="+level)
		c.Rest()
		c.Wait()
		text := c.Err.String()
		if !strings.Contains(text, "panic: ") || !strings.Contains(text, "panicWith") {
			t.Errorf("the child did not panic:\n%s", text)
		}
		s.fake.findSecrets("the panic", text)
	}
}
