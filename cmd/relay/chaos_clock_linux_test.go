package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// skewedBinary builds relay with a clock that a file sets wrong, in seconds, at any time: the wall clock jumps and the monotonic one
// goes on, as when somebody sets a machine's clock. Nothing else of the program differs.
func skewedBinary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(clock)
	if err != nil {
		t.Fatal(err)
	}
	const reading = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(source), reading) != 1 {
		t.Fatalf("time.Now of %s reads the clock in another way: correct skewedBinary", runtime.Version())
	}
	files := map[string]string{
		clock: strings.Replace(string(source), reading, reading+"\tsec += Skew.Load()\n", 1),
		filepath.Join(filepath.Dir(clock), "skew.go"): `package time

import "sync/atomic"

var Skew atomic.Int64
`,
		filepath.Join(workingDir(t), "skew.go"): `package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

func init() {
	set := func() {
		text, err := os.ReadFile(os.Getenv("RELAY_TEST_SKEW"))
		if err != nil {
			return
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			time.Skew.Store(n)
		}
	}
	set()
	go func() {
		for {
			time.Sleep(20 * time.Millisecond)
			set()
		}
	}()
}
`,
	}
	replace := make(map[string]string)
	for path, text := range files {
		at := filepath.Join(dir, strings.ReplaceAll(strings.Trim(path, string(filepath.Separator)), string(filepath.Separator), "_"))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = at
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "relay")
	if out, err := exec.Command("go", "build", "-overlay", list, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build relay with a clock that can be wrong: %v\n%s", err, out)
	}
	return binary
}

func workingDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
