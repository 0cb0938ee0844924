package journalcmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

func newJournalBackupCmd(s *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "backup DIR", Short: "Copy the journal, also while relay runs", Args: state.OneArg("the folder of the copy"),
		Long: `Copy the journal with the sinks' positions to DIR, which must be new or empty.
The copy is consistent, whether or not relay runs. To restore it, stop relay and
replace the files of the data folder with the copy. The copy does not include
the logins (accounts).`,
		Example: "  relay journal backup /backup/2026-07-16",
		RunE:    func(cmd *cobra.Command, args []string) error { return runJournalBackup(cmd.Context(), s, args[0]) },
	}
}

// runJournalBackup copies the state before the log, so that no position in the copy is after the end of the log.
func runJournalBackup(ctx context.Context, s *state.State, dir string) (err error) {
	files, err := findJournalFiles(s)
	if err != nil {
		return err
	}
	target := filepath.Join(dir, datadir.JournalDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("back up the journal: %w; choose another folder", err)
	}
	var teardown datadir.Teardown
	defer func() { err = errors.Join(err, teardown.Run()) }()
	items, err := readState(ctx, s, &teardown)
	if err != nil {
		return err
	}
	log, err := filelog.OpenReader(ctx, filelog.Options{Dir: files, Log: s.Logger()})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	teardown.Add("journal", log.Close)
	if err := filelog.Backup(ctx, log, target); err != nil {
		return err
	}
	if err := writeState(ctx, items, target, s.Logger()); err != nil {
		return fmt.Errorf("back up the journal: %w", err)
	}
	return s.Say("Copied the journal to %s.\nTo verify the copy, run: relay journal verify --data-dir %s", target, text.ShellQuote(dir))
}

// readState returns the items of the journal's state. Without a running relay, it keeps the data folder locked until teardown runs.
func readState(ctx context.Context, s *state.State, teardown *datadir.Teardown) (items []api.StateItem, err error) {
	access, err := s.Access()
	if err != nil {
		return nil, err
	}
	c, err := access.FilesClient(ctx, teardown)
	if err != nil {
		return nil, err
	}
	for item, err := range c.State(ctx) {
		if err != nil {
			return nil, fmt.Errorf("back up the journal: %w", err)
		}
		items = append(items, item)
	}
	return items, nil
}

// writeState creates a state with these items in a folder.
func writeState(ctx context.Context, items []api.StateItem, dir string, log zerolog.Logger) (err error) {
	file, err := statefile.Open(ctx, statefile.Options{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for _, item := range items {
		if _, err := file.Put(ctx, item.Key, item.Value, journal.AnyRevision); err != nil {
			return err
		}
	}
	return nil
}
