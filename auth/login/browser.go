package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// OpenBrowser opens url in the user's browser, which outlives the call. It returns within two seconds; the error says
// why there is no browser, as on a server.
func OpenBrowser(url string) error {
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return errors.New("open browser: not a web address")
	}
	var command []string
	switch runtime.GOOS {
	case "darwin":
		command = []string{"open", url}
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", url}
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return errors.New("open browser: there is no desktop (neither DISPLAY nor WAYLAND_DISPLAY is set)")
		}
		command = []string{"xdg-open", url}
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("open browser: %s is not installed", command[0])
	}
	// The browser belongs to the user: no context ends it.
	cmd := exec.CommandContext(context.Background(), path, command[1:]...) //nolint:gosec // No shell is involved, and the address was checked.
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	// The helper may run as long as the browser. Wait for it in any case, so that it leaves no zombie.
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("open browser: %s: %w", command[0], err)
		}
	case <-time.After(2 * time.Second):
	}
	return nil
}
