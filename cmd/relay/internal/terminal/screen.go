package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"
)

// Screen writes untrusted text to a terminal. Characters that would control the terminal, or hide or reorder text, are written as JSON escapes such
// as \u202e, so that JSON keeps its meaning. It may be used by several goroutines.
type Screen struct {
	terminal *os.File

	mu   sync.Mutex
	rest []byte // the beginning of an incomplete character
}

// NewScreen returns a Screen for a terminal.
func NewScreen(terminal *os.File) *Screen { return &Screen{terminal: terminal} }

// Write implements [io.Writer].
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...) //nolint:gocritic // rest is replaced below
	shown, rest := Visible(text)
	s.rest = append([]byte(nil), rest...)
	if _, err := s.terminal.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Raw returns the terminal behind a Screen, for a command that controls it. The command must pass untrusted text through [Visible].
func Raw(w io.Writer) io.Writer {
	if s, ok := w.(*Screen); ok {
		return s.terminal
	}
	return w
}

// Visible escapes the characters that must not reach a terminal. rest is the incomplete character at the end, if there is one.
func Visible(text []byte) (shown, rest []byte) {
	shown = make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1 && !utf8.FullRune(text[i:]):
			return shown, text[i:]
		case r == utf8.RuneError && size == 1:
			shown = append(shown, `\ufffd`...)
		case r == '\r' && i+1 < len(text) && text[i+1] == '\n': // the end of a row of CSV
			shown = append(shown, '\r')
		case controls(r):
			shown = fmt.Appendf(shown, `\u%04x`, r)
		default:
			shown = append(shown, text[i:i+size]...)
		}
		i += size
	}
	return shown, nil
}

// controls reports whether a terminal may do something other than show the character: the controls C0 and C1, characters that change the direction
// of writing, and those that end a line in some programs.
func controls(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f: // C0, DEL and C1
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x206f: // bidi
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff, r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return false
}
