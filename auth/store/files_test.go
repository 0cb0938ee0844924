package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/internal/authtest"
	"github.com/treatrelay/relay/auth/store"
	"github.com/treatrelay/relay/internal/secret"
)

func sample() grant.Grant {
	now := time.Date(2026, 7, 16, 21, 0, 0, 123, time.UTC)
	return grant.Grant{
		Provider: "treatstream", AccessToken: secret.New("canary-access"), RefreshToken: secret.New("canary-refresh"),
		TokenType: "Bearer", Scope: "userinfo", ObtainedAt: now, Expiry: now.Add(30 * authtest.Day), RefreshExpiry: now.Add(180 * authtest.Day),
		Generation: 7, State: grant.RefreshOutcomeUnknown, Reason: "because",
	}
}

func TestStoreKeepsAGrant(t *testing.T) {
	files, dir := authtest.NewStore(t)
	if _, err := files.Load("mystream"); !errors.Is(err, grant.ErrNone) {
		t.Errorf("an empty store: %v", err)
	}
	if err := files.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Load("mystream"); err != nil || got != sample() {
		t.Errorf("got %+v, %v", got, err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "mystream.json"): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
			}
		}
	}
	if err := files.Delete("mystream"); err != nil {
		t.Fatal(err)
	}
	if err := files.Delete("mystream"); !errors.Is(err, grant.ErrNone) {
		t.Errorf("deleted twice: %v", err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStoreRefusesDamage(t *testing.T) {
	files, dir := authtest.NewStore(t)
	if err := files.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "mystream.json")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":            "",
		"half":             string(whole[:len(whole)/2]),
		"not JSON":         "canary",
		"null":             "null",
		"other account":    strings.Replace(string(whole), `"mystream"`, `"other"`, 1),
		"newer":            strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1),
		"no version":       strings.Replace(string(whole), `"version": 1`, `"version": 0`, 1),
		"no token":         strings.Replace(string(whole), `"canary-access"`, `""`, 1),
		"a number":         strings.Replace(string(whole), `"canary-access"`, `1234567890`, 1),
		"unknown state":    strings.Replace(string(whole), `"refresh_outcome_unknown"`, `"happy"`, 1),
		"odd time":         strings.Replace(string(whole), `"2026-`, `"canary-`, 1),
		"no generation":    strings.Replace(string(whole), `"generation": 7`, `"generation": 0`, 1),
		"trailing garbage": string(whole) + "{",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := files.Load("mystream")
			if !errors.Is(err, grant.ErrUnusable) || errors.Is(err, grant.ErrNone) {
				t.Fatalf("%v, want ErrUnusable", err)
			}
			text := err.Error()
			if !strings.Contains(text, path) || strings.Contains(text, "canary") || strings.Contains(text, "1234567890") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestStoreRefusesLooseModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("Windows has no such modes.")
		return
	}
	files, dir := authtest.NewStore(t)
	if err := files.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "mystream.json")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Load("mystream"); !errors.Is(err, grant.ErrUnusable) || !strings.Contains(err.Error(), "run: chmod 600 "+path) {
		t.Errorf("%v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, nil); err == nil || !strings.Contains(err.Error(), "run: chmod 700 "+dir) {
		t.Errorf("%v", err)
	}
}

func TestStoreAfterACrash(t *testing.T) {
	files, dir := authtest.NewStore(t)
	if err := files.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	fresh, stale := filepath.Join(dir, ".mystream.1.tmp"), filepath.Join(dir, ".mystream.2.tmp")
	for _, path := range []string{fresh, stale} {
		if err := os.WriteFile(path, []byte(`{"version":1,"acc`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Load("mystream"); err != nil || got != sample() {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("a stale temporary file, with tokens in it, is kept")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a temporary file that another process may be writing is gone")
	}
	if err := files.Save("mystream", sample()); err != nil {
		t.Error(err)
	}
}

func TestStoreNames(t *testing.T) {
	files, _ := authtest.NewStore(t)
	for _, name := range []string{"", "..", "../x", "a/b", `a\b`, "A", ".hidden", "-x", strings.Repeat("a", 64), "a\x00"} {
		if err := files.Save(name, sample()); err == nil {
			t.Errorf("Save(%q) wrote something", name)
		}
		if _, err := files.Load(name); err == nil || errors.Is(err, grant.ErrNone) {
			t.Errorf("Load(%q): %v", name, err)
		}
		if err := files.Delete(name); err == nil || errors.Is(err, grant.ErrNone) {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
}

// A reader sees a whole grant at every moment while others write.
func TestStoreIsNeverWithoutAFile(t *testing.T) {
	files, _ := authtest.NewStore(t)
	if err := files.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	done := make(chan struct{})
	for i := range 2 {
		writers.Go(func() {
			for j := range 30 {
				g := sample()
				g.Reason = fmt.Sprintf("%d %s", i, strings.Repeat("x", j*200))
				if err := files.Save("mystream", g); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		writers.Wait()
		close(done)
	}()
	for {
		if _, err := files.Load("mystream"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// flip is the least that can be called a seal.
type flip struct{}

func (flip) Seal(plain []byte) ([]byte, error) {
	out := bytes.Clone(plain)
	for i := range out {
		out[i] ^= 0x55
	}
	return append([]byte("sealed:"), out...), nil
}

func (f flip) Open(sealed []byte) ([]byte, error) {
	inner, ok := bytes.CutPrefix(sealed, []byte("sealed:"))
	if !ok {
		return nil, errors.New("not sealed")
	}
	out, err := f.Seal(inner)
	return bytes.TrimPrefix(out, []byte("sealed:")), err
}

func TestStoreSeals(t *testing.T) {
	plain, dir := authtest.NewStore(t)
	sealed, err := store.Open(dir, flip{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealed.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	if got, err := sealed.Load("mystream"); err != nil || got != sample() {
		t.Errorf("%+v, %v", got, err)
	}
	if plain := sealed.Plain(); len(plain) != 0 {
		t.Errorf("not sealed: %v", plain)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "mystream.json")); err != nil || bytes.Contains(content, []byte("canary")) {
		t.Errorf("the file shows its tokens: %s, %v", content, err)
	}
	if _, err := plain.Load("mystream"); !errors.Is(err, grant.ErrUnusable) {
		t.Errorf("without the seal: %v", err)
	}
	if err := plain.Save("mystream", sample()); err != nil {
		t.Fatal(err)
	}
	if got, err := sealed.Load("mystream"); err != nil || got != sample() {
		t.Errorf("the grant of an older relay: %+v, %v", got, err)
	}
	if plain := sealed.Plain(); len(plain) != 1 || plain[0] != "mystream" {
		t.Errorf("not sealed: %v, want mystream", plain)
	}
}

// counted is a seal that counts how often it is opened.
type counted struct {
	flip

	opened *int
}

func (c counted) Open(sealed []byte) ([]byte, error) {
	*c.opened++
	return c.flip.Open(sealed)
}

// A file is opened once, and again as soon as anybody changed anything about it.
func TestStoreRemembers(t *testing.T) {
	_, dir := authtest.NewStore(t)
	opened := 0
	here, err := store.Open(dir, counted{opened: &opened})
	if err != nil {
		t.Fatal(err)
	}
	there, err := store.Open(dir, flip{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "mystream.json")
	save := func(generation int64) {
		t.Helper()
		g := sample()
		g.Generation = generation
		if err := there.Save("mystream", g); err != nil {
			t.Fatal(err)
		}
	}
	old := func(ago time.Duration) {
		t.Helper()
		long := time.Now().Add(-ago)
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	want := func(generation int64) {
		t.Helper()
		if g, err := here.Load("mystream"); err != nil || g.Generation != generation {
			t.Fatalf("generation %d, %v; want %d", g.Generation, err, generation)
		}
	}
	save(1)
	old(time.Hour)
	for range 100 {
		want(1)
	}
	if opened != 1 {
		t.Errorf("opened %d times, want once", opened)
	}
	for i := range int64(100) { // Of the same size, and faster than the clock of the file system.
		save(2 + i%8)
		want(2 + i%8)
	}
	old(-time.Hour) // The clock was put back since.
	want(5)
	save(6)
	want(6)
	old(time.Hour)
	want(6)
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Load("mystream"); !errors.Is(err, grant.ErrUnusable) {
			t.Errorf("a mode that became loose: %v", err)
		}
	}
	if err := there.Delete("mystream"); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Load("mystream"); !errors.Is(err, grant.ErrNone) {
		t.Errorf("deleted: %v", err)
	}
}

func TestStoreInAnImpossiblePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := store.Open(dir, nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%v", err)
		}
	}
}
