package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exactly the visible commands have a man page, with all of their flags. On the same day the pages are identical.
func TestManPages(t *testing.T) {
	var dirs [2]string
	for i := range dirs {
		dirs[i] = t.TempDir()
		generatePackaging(t, dirs[i])
	}
	written := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(dirs[0], "man"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		written[e.Name()] = true
		first, second := readFile(t, filepath.Join(dirs[0], "man", e.Name())), readFile(t, filepath.Join(dirs[1], "man", e.Name()))
		if first != second || !strings.Contains(first, "Nov 2023") {
			t.Errorf("%s differs from one run to the next, or has another day", e.Name())
		}
	}
	wanted := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		wanted[name] = true
		page := ""
		if written[name] {
			page = strings.ReplaceAll(readFile(t, filepath.Join(dirs[0], "man", name)), `\-`, "-")
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(page, "--"+f.Name) {
				t.Errorf("%s: no --%s", name, f.Name)
			}
		})
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	walk(commandTree())
	if diff := cmp.Diff(wanted, written); diff != "" {
		t.Errorf("man pages (-commands +pages):\n%s", diff)
	}
	for name, part := range map[string]string{"relay.bash": "__start_relay", "_relay": "#compdef relay", "relay.fish": "complete -c relay", "relay.ps1": "Register-ArgumentCompleter"} {
		if text := readFile(t, filepath.Join(dirs[0], "completions", name)); !strings.Contains(text, part) {
			t.Errorf("%s has no %q", name, part)
		}
	}
}

// generatePackaging runs the hidden command for packagers, as a release does.
func generatePackaging(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("go", "run", "-tags", "packaging", ".", "generate", dir)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "RELAY_LOG_LEVEL=debug")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("relay generate: %v\n%s", err, out)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
