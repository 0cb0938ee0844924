//go:build unix

package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
)

// The blocks of the documentation that are marked as runnable succeed, with the built relay in an empty folder.
func TestRunnableBlocks(t *testing.T) {
	bin := filepath.Dir(relayBinary(t))
	found := 0
	for name, text := range doctest.All(t) {
		for _, m := range regexp.MustCompile("(?sm)^( *)<!-- runnable -->\n *```sh\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
			found++
			block := regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], "")
			cmd := exec.Command("bash", "-euo", "pipefail", "-c", block)
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"PATH=" + bin + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + t.TempDir()}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s\n%s", name, err, block, strings.TrimSpace(string(out)))
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d blocks are marked", found)
	}
}
