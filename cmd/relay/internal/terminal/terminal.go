// Package terminal is about the terminal that a command may have: what is safe to write there, and a line of progress.
package terminal

import (
	"os"

	"golang.org/x/term"
)

// Is reports whether w is one.
func Is(w any) bool {
	if s, ok := w.(*Screen); ok {
		w = s.terminal
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
