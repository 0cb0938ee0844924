package cursor

import (
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A lane that could not be opened, while the copies in the state are being written: its cursor is none to be copied.
func TestCopyOfALaneThatWasNotOpened(t *testing.T) {
	stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), Logger: stacktest.Logger(t)})
	must(t, err)
	defer func() { must(t, stack.Close()) }()
	s, _, err := Open(t.Context(), stack.State, "", zerolog.Nop())
	must(t, err)
	s.Follow(func() Position { return Position{Next: 1} })
	must(t, s.Open("box", func(Position, bool) (journal.Cursor, bool) { return journal.Cursor{Next: 1}, true }))
	s.abandon("box") // copyAll has chosen it before
	must(t, s.Copy(t.Context(), "box"))
	must(t, s.Save(true))
	if _, ok := s.Find("box"); ok {
		t.Error("it has a cursor")
	}
}
