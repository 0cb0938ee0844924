package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A file with a secret that others may read or change is a warning, whichever key names it.
func TestLooseFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	for mode, want := range map[os.FileMode]string{0o600: "", 0o400: "", 0o640: "may read", 0o644: "may read", 0o666: "may change", 0o620: "may change"} {
		dir := t.TempDir()
		for _, name := range []string{"secret.txt", "password.txt"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("a password of some length\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, "relay.yaml")
		text := "accounts:\n  a: {provider: treatstream, client_id: x, client_secret_file: secret.txt}\nsinks:\n  console: {type: stdout}\nhttp: {password_file: password.txt}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Check(path, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range cfg.Warnings {
			got += w.Error() + "\n"
		}
		if want == "" && got != "" || want != "" && strings.Count(got, want) != 2 || want != "" && !strings.Contains(got, "http.password_file") {
			t.Errorf("mode %04o: the warnings are %q", mode, got)
		}
	}
}
