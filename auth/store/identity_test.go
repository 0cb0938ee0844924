package store_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
)

func writeIdentity(t *testing.T) (path string, key *age.X25519Identity) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(path, []byte("# made by age-keygen\n"+key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, key
}

func TestIdentityFromAFile(t *testing.T) {
	path, key := writeIdentity(t)
	id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: path, Keyring: true, Fallback: filepath.Join(t.TempDir(), "other")})
	if err != nil || id.Recipient() != key.Recipient().String() || id.Source != "file "+path || id.Created {
		t.Errorf("%v, %v", id, err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s %v", id, id, id, id, store.NewAgeSealer(id)); strings.Contains(text, "SECRET") {
		t.Error("printing an identity shows it")
	}
	gone := path + ".gone"
	if _, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: gone}); err == nil || !strings.Contains(err.Error(), "age-keygen -o "+gone) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("a file that the user named was made up")
	}
	for name, content := range map[string]string{"empty": "", "damaged": key.String()[:40], "nonsense": "canary"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: path})
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), key.String()[20:40]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.WriteFile(path, []byte(key.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// Secrets that are mounted into a container are often there for all to read.
	for mode, c := range map[os.FileMode]struct{ named, made bool }{
		0o400: {true, true}, 0o600: {true, true}, 0o440: {true, false}, 0o444: {true, false}, 0o644: {true, false},
		0o660: {false, false}, 0o622: {false, false}, 0o666: {false, false},
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for opts, want := range map[store.IdentityOptions]bool{{File: path}: c.named, {Fallback: path}: c.made} {
			_, err := store.LoadIdentity(t.Context(), opts)
			if want != (err == nil) {
				t.Errorf("mode %04o, %+v: %v", mode, opts, err)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), "open identity: others may ") || !strings.HasSuffix(err.Error(), "; run: chmod 600 "+path)) {
				t.Errorf("mode %04o, %+v: %v", mode, opts, err)
			}
		}
	}
}

// Many processes that start at once on a new machine make one identity.
func TestIdentityIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config", "relay", "identity")
	ids := make([]store.Identity, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			var err error
			if ids[i], err = store.LoadIdentity(t.Context(), store.IdentityOptions{Fallback: path}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	made := 0
	for _, id := range ids {
		if id.Created {
			made++
		}
		if id.Recipient() != ids[0].Recipient() || id.Source != "file "+path {
			t.Errorf("%v and %v", id, ids[0])
		}
	}
	if made != 1 {
		t.Errorf("made %d times, want once", made)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := store.LoadIdentity(t.Context(), store.IdentityOptions{}); err == nil || !strings.Contains(err.Error(), "RELAY_IDENTITY_FILE") {
		t.Errorf("nowhere to look: %v", err)
	}
}

// The keyring, in processes of their own, because it is one for each process.
func TestIdentityFromTheKeyring(t *testing.T) {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		t.Log("There is no D-Bus to stand in for here.")
		return
	}
	mute, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	hangs := "unix:path=" + mute.Addr().String()
	for _, c := range []struct {
		keyring, bus string
		file         bool
	}{
		{"works", hangs, false},
		{"fails", hangs, true},
		{"hangs", hangs, true},
		{"is not there", "unix:path=/nonexistent/bus", true},
		{"is not there at all", "autolaunch:", true},
	} {
		t.Run(c.keyring, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "identity")
			child := authtest.Send(t, task{Keyring: c.keyring, Fallback: path}, "DBUS_SESSION_BUS_ADDRESS="+c.bus)
			first, second := child.Expect("identity"), child.Expect("identity")
			want := "of the OS keyring created:%v <nil>"
			if c.file {
				want = "of file " + path + " created:%v <nil>"
			}
			if !strings.HasSuffix(first, fmt.Sprintf(want, true)) || !strings.HasSuffix(second, fmt.Sprintf(want, false)) || first[:20] != second[:20] {
				t.Errorf("%s\n%s\nwant %s", first, second, want)
			}
			if _, err := os.Stat(path); c.file != (err == nil) {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

func TestAgeSeal(t *testing.T) {
	load := func() store.Identity {
		path, _ := writeIdentity(t)
		id, err := store.LoadIdentity(t.Context(), store.IdentityOptions{File: path})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	mine, theirs := load(), load()
	plain, dir := authtest.NewStore(t)
	if err := plain.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	open := func(id store.Identity) *store.Files {
		s, err := store.Open(dir, store.NewAgeSealer(id))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sealed, path := open(mine), filepath.Join(dir, "mystream.json")
	// The plain file of an older relay is read, and sealed with the next save.
	g, err := sealed.Load("mystream")
	if err != nil || g != sample() || fmt.Sprint(sealed.Plain()) != "[mystream]" {
		t.Fatalf("%+v, %v, plain: %v", g, err, sealed.Plain())
	}
	if err := sealed.Save("mystream", g); err != nil || len(sealed.Plain()) != 0 {
		t.Errorf("%v, plain: %v", err, sealed.Plain())
	}
	content, err := os.ReadFile(path)
	if err != nil || !store.Sealed(content) || strings.Contains(string(content), "canary") || strings.Contains(string(content), "treatstream") {
		t.Errorf("the file is not sealed: %s, %v", content, err)
	}
	if again, err := open(mine).Load("mystream"); err != nil || again != g {
		t.Errorf("%+v, %v", again, err)
	}
	for name, c := range map[string]struct {
		store *store.Files
		want  string
	}{
		"other identity": {open(theirs), "sealed for another identity than " + theirs.Recipient()},
		"no identity":    {plain, "it is sealed"},
	} {
		if _, err := c.store.Load("mystream"); !errors.Is(err, grant.ErrUnusable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, damage := range map[string]string{
		"half": string(content[:len(content)/2]), "empty": "", "changed": strings.Replace(string(content), "A", "B", 5), "nonsense": "canary",
	} {
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sealed.Load("mystream"); !errors.Is(err, grant.ErrUnusable) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
