package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/internal/secret"
)

// A grant moves from one sealed store to another, by passphrase or for the other machine's identity.
func TestTransfer(t *testing.T) {
	machine := func() (*store.Files, store.Identity) {
		id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{Fallback: filepath.Join(t.TempDir(), "identity")})
		if err != nil {
			t.Fatal(err)
		}
		files, err := store.Open(filepath.Join(t.TempDir(), "tokens"), store.NewAgeSealer(id))
		if err != nil {
			t.Fatal(err)
		}
		return files, id
	}
	here, mine := machine()
	there, theirs := machine()
	if err := here.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	words := secret.New("canary battery staple")
	export := func(key store.ExportKey) []byte {
		t.Helper()
		out, err := here.Export("mystream", key)
		if err != nil || !store.Sealed(out) || strings.Contains(string(out), "canary") {
			t.Fatalf("%s, %v", out, err)
		}
		return out
	}
	byWords, byKey := export(store.ExportKey{Passphrase: words}), export(store.ExportKey{Recipient: theirs.Recipient()})

	for name, c := range map[string]struct {
		account string
		export  []byte
		opts    store.ImportOptions
		want    string
	}{
		"wrong passphrase": {"mystream", byWords, store.ImportOptions{Passphrase: secret.New("canary horse")}, "does not open with this passphrase"},
		"wrong identity":   {"mystream", byKey, store.ImportOptions{Identity: mine}, "not sealed for " + mine.Recipient()},
		"needs a passphrase": {
			"mystream", byWords, store.ImportOptions{Identity: theirs}, "sealed with a passphrase; give --passphrase-file",
		},
		"no key":         {"mystream", byKey, store.ImportOptions{}, "give the passphrase"},
		"other name":     {"partner", byKey, store.ImportOptions{Identity: theirs}, `the account "mystream"; import it under that name`},
		"other provider": {"mystream", byKey, store.ImportOptions{Identity: theirs, Provider: "treesnap"}, `a grant at "treatstream", and the account is configured for "treesnap"`},
		"no export":      {"mystream", []byte("canary"), store.ImportOptions{Identity: theirs}, "not an export of relay"},
		"cut short":      {"mystream", byKey[:len(byKey)-60], store.ImportOptions{Identity: theirs}, "damaged"},
		"bad name":       {"../x", byKey, store.ImportOptions{Identity: theirs}, `"mystream"`},
	} {
		if c.opts.Provider == "" {
			c.opts.Provider = "treatstream"
		}
		err := there.Import(t.Context(), c.account, c.export, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := there.Load("mystream"); !errors.Is(err, grant.ErrNone) {
			t.Errorf("%s: something was saved: %v", name, err)
		}
	}

	bring := func(export []byte, force bool) error {
		return there.Import(t.Context(), "mystream", export, store.ImportOptions{
			Provider: "treatstream", Passphrase: words, Identity: theirs, Force: force,
		})
	}
	if err := bring(byWords, false); err != nil {
		t.Fatal(err)
	}
	got, err := there.Load("mystream")
	// A relay there has a journal of its own, for which the login is made now.
	if got.Login.ID == "" || got.Login.Adopted || time.Since(got.Login.At).Abs() > time.Hour {
		t.Errorf("login %+v", got.Login)
	}
	if got.Login = sample().Login; err != nil || got != sample() {
		t.Errorf("%+v, %v", got, err)
	}
	opts := store.ImportOptions{Provider: "treatstream", Identity: theirs}
	if err := there.Import(t.Context(), "mystream", byKey, opts); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a grant that works was replaced: %v", err)
	}
	opts.Force = true
	if err := there.Import(t.Context(), "mystream", byKey, opts); err != nil {
		t.Error(err)
	}
	if got, err := there.Load("mystream"); err != nil || got.Generation != sample().Generation+1 || got.AccessToken != sample().AccessToken {
		t.Errorf("by force: %+v, %v", got, err)
	}
	dead := sample()
	dead.State, dead.Generation = grant.ReauthorizeNeeded, 20
	if err := there.Save("mystream", dead); err != nil {
		t.Fatal(err)
	}
	if _, err := there.Export("mystream", store.ExportKey{Recipient: mine.Recipient()}); !errors.Is(err, grant.ErrReauthorize) {
		t.Errorf("a dead grant was exported: %v", err)
	}
	opts.Force = false
	if err := there.Import(t.Context(), "mystream", byKey, opts); err != nil {
		t.Errorf("over a dead grant: %v", err)
	}
	if got, err := there.Load("mystream"); err != nil || got.Generation != 21 || got.State != sample().State {
		t.Errorf("over a dead grant: %+v, %v", got, err)
	}

	for name, key := range map[string]store.ExportKey{
		"nothing": {}, "both": {Passphrase: words, Recipient: mine.Recipient()}, "nonsense": {Recipient: "canary"},
		"two": {Recipient: mine.Recipient() + "\n" + theirs.Recipient()},
	} {
		if _, err := here.Export("mystream", key); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	damaged, dir := authtest.NewStore(t)
	if err := os.WriteFile(filepath.Join(dir, "mystream.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := damaged.Export("mystream", store.ExportKey{Recipient: mine.Recipient()}); !errors.Is(err, grant.ErrUnusable) ||
		!strings.HasSuffix(err.Error(), "; log in on the other machine instead") {
		t.Errorf("%v", err)
	}
	if _, err := here.Export("nobody", store.ExportKey{Recipient: mine.Recipient()}); !errors.Is(err, grant.ErrNone) {
		t.Errorf("%v", err)
	}
}
