package journalcmd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/pipeline/journal"
)

// NewJournalCmd returns relay journal, with its subcommands.
func NewJournalCmd(s *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "journal", Short: "Verify, back up or import into the journal", Args: state.NoUnknownCommand,
		Long: `Verify or back up the journal, or import events into it. Verification and
backups are for a journal in the data folder; a journal on a NATS server
(journal.nats_url) is verified and backed up with the tools of that server.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newJournalVerifyCmd(s), newJournalBackupCmd(s), newJournalImportCmd(s))
	return cmd
}

// findJournalFiles returns the folder with the journal's files. It is an error if there is none.
func findJournalFiles(s *state.State) (string, error) {
	dir, err := s.DataPath()
	if err != nil {
		return "", err
	}
	files := filepath.Join(dir, datadir.JournalDir)
	if err := datadir.CheckFormat(files); err != nil {
		return "", exit.With(exit.Unavailable, err)
	}
	if _, err := os.Stat(files); err != nil {
		return "", exit.With(exit.Unavailable, fmt.Errorf("open the journal in %s: %w; name its data folder with --data-dir. "+
			"For a journal on a NATS server (journal.nats_url), use the tools of that server", dir, journal.ErrNoJournal))
	}
	return files, nil
}
