// Package terminal detects terminals, and writes to them safely: untrusted text, and a line of progress.
package terminal

import (
	"os"

	"golang.org/x/term"
)

// Is reports whether w is a terminal, or a [Screen] for one.
func Is(w any) bool {
	if s, ok := w.(*Screen); ok {
		w = s.terminal
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
