package login_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/treatrelay/relay/auth/login"
)

func TestOpenBrowser(t *testing.T) {
	t.Setenv("DISPLAY", "")
	t.Setenv("WAYLAND_DISPLAY", "")
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := login.OpenBrowser("https://example.com/?state=canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	if err := login.OpenBrowser("--help"); err == nil {
		t.Error("a flag was taken for an address")
	}
	if runtime.GOOS != "linux" {
		return
	}
	t.Setenv("DISPLAY", ":0")
	if err := login.OpenBrowser("https://example.com/"); err == nil || !strings.Contains(err.Error(), "xdg-open is not installed") {
		t.Errorf("%v", err)
	}
	for script, want := range map[string]string{"exit 3": "exit status 3", `echo "$1" >` + bin + `/opened`: ""} {
		if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		err := login.OpenBrowser("https://example.com/?a=1&b=2")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", script, err, want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(bin, "opened")); err != nil || strings.TrimSpace(string(got)) != "https://example.com/?a=1&b=2" {
		t.Errorf("opened %q, %v", got, err)
	}
}
