package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// The fix of a finding is the one that the error brings, and the detail does not repeat it.
func TestFaultOfAnError(t *testing.T) {
	dir := t.TempDir()
	state, err := statefile.Open(t.Context(), statefile.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, locked := statefile.Open(t.Context(), statefile.Options{Dir: dir, Log: zerolog.Nop()})
	linked := t.TempDir()
	if err := os.Symlink(filepath.Join(linked, "missing"), filepath.Join(linked, "link")); err != nil {
		t.Skip(err)
	}
	for _, tt := range []struct {
		err         error
		detail, fix string
	}{
		{locked, "open state " + dir + ": another process has the state open", "stop the relay that runs on this data folder"},
		{
			fmt.Errorf("start: %w", datadir.Check(linked)),
			"start: open the data folder: " + filepath.Join(linked, "link") + " is a symbolic link, which relay does not follow",
			"put the file itself there, or delete the link",
		},
		{errors.New("it is broken; write a book"), "it is broken; write a book", "otherwise"},
	} {
		if f := faultOf(tt.err, "otherwise"); f.State != Fault || f.Detail != tt.detail || f.Fix != tt.fix {
			t.Errorf("%v:\n%q, fix %q; want\n%q, fix %q", tt.err, f.Detail, f.Fix, tt.detail, tt.fix)
		}
	}
}
