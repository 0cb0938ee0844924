package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(cleanUp{m}, map[string]func(){"relay": main})
}

// cleanUp removes the built binary after the tests.
type cleanUp struct{ *testing.M }

func (c cleanUp) Run() int {
	code := c.M.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	return code
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

// relayBinary builds relay as a user would, once for all tests, and returns its path.
func relayBinary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "relay-test-"); built.err != nil { //nolint:usetesting // it serves all tests
			return
		}
		var out []byte
		if out, built.err = exec.Command("go", "build", "-o", filepath.Join(built.dir, "relay"), ".").CombinedOutput(); built.err != nil {
			t.Logf("go build: %s", out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "relay")
}
