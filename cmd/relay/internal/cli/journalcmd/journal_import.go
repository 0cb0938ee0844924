package journalcmd

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
)

func newJournalImportCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Add events that relay export wrote to the journal", Args: state.OneArg("the file, or - for standard input"),
		Long: `Add events to the journal that relay export wrote as JSON lines, from this
journal or another one. Use it to move the history to another machine. The
events appear in "relay history", can be replayed, and are not fetched again
from the provider's history; they are not delivered unless you replay them.
Events that the journal already has are skipped. Stop relay first. FILE - is
standard input.`,
		Example: "  relay journal import events.jsonl\n  relay export --data-dir old | relay journal import -",
		RunE:    func(cmd *cobra.Command, args []string) error { return runJournalImport(cmd.Context(), s, args[0]) },
	}
}

func runJournalImport(ctx context.Context, s *state.State, path string) error {
	in := s.In
	if path != "-" {
		f, err := os.Open(path) //nolint:gosec // the path is the user's own
		if err != nil {
			return fmt.Errorf("import events: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	log := s.Logger()
	cfg, err := s.LoadConfig(log)
	if err != nil {
		return err
	}
	dir, err := s.DataPath()
	if err != nil {
		return err
	}
	return daemon.Import(ctx, daemon.Options{Config: cfg, Dir: dir, Log: log}, in, func(added, known int) error {
		return s.Say("Imported %s; %d were in the journal already.", plural(added, "event"), known)
	})
}
