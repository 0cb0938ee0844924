package web

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The logic of the pages' scripts is tested by Node. The tests are not part of the program.
func TestScripts(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("RELAY_REQUIRE_PEERS") == "1" {
			t.Fatalf("RELAY_REQUIRE_PEERS=1, but: %v; the test needs Node", err)
		}
		t.Skipf("needs Node: %v", err)
	}
	tests, err := filepath.Glob("assets/*/_test/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests of the pages: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, tests...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTestsAreNotEmbedded(t *testing.T) {
	err := fs.WalkDir(Assets(), ".", func(name string, _ fs.DirEntry, err error) error {
		if strings.Contains(name, "test.mjs") {
			t.Errorf("%s is embedded", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
