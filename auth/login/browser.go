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

// OpenBrowser shows url in the user's browser. It returns within two seconds, with an error that says why when there is
// none, as on a server; the browser goes on.
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
	// The browser is the user's: no context ends it.
	cmd := exec.CommandContext(context.Background(), path, command[1:]...) //nolint:gosec // No shell is involved, and the address was checked.
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	// The helper may stay as long as the browser does. It is waited for in any case, so that it leaves no zombie.
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
