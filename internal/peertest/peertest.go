// Package peertest finds the npm servers and clients in testdata/peers, and Python, for tests that talk to them. A test
// without them is skipped, or fails if RELAY_REQUIRE_PEERS=1.
package peertest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Require returns the paths of node and testdata/peers. If Node or the packages are missing, it skips the test, or
// fails it if RELAY_REQUIRE_PEERS=1.
func Require(t *testing.T) (node, dir string) {
	t.Helper()
	dir, err := peersDir()
	if err != nil {
		t.Fatal(err)
	}
	node, err = exec.LookPath("node")
	if err == nil {
		err = installed(dir)
	}
	if err != nil {
		missing(t, err, "Node and npm ci in testdata/peers")
	}
	return node, dir
}

// installed returns an error if a package of package.json is missing, as after a change of it.
func installed(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "package.json")) //nolint:gosec // a file of this repository
	if err != nil {
		return err
	}
	var wanted struct{ Dependencies map[string]string }
	if err := json.Unmarshal(text, &wanted); err != nil {
		return err
	}
	for name := range wanted.Dependencies {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err != nil {
			return err
		}
	}
	return nil
}

// RequirePython returns the path of python3, or ends the test like Require.
func RequirePython(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, err, "python3")
	}
	return python
}

// missing ends a test that cannot run without something.
func missing(t *testing.T, err error, what string) {
	t.Helper()
	if os.Getenv("RELAY_REQUIRE_PEERS") == "1" {
		t.Fatalf("RELAY_REQUIRE_PEERS=1, but: %v; the test needs %s", err, what)
	}
	t.Skipf("needs %s: %v", what, err)
}

// peersDir searches upwards from the folder of the tested package, which is the working directory of a test.
func peersDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		peers := filepath.Join(at, "testdata", "peers")
		if _, err := os.Stat(filepath.Join(peers, "package.json")); err == nil {
			return peers, nil
		}
		if at == filepath.Dir(at) {
			return "", &os.PathError{Op: "find testdata/peers above", Path: dir, Err: os.ErrNotExist}
		}
	}
}
