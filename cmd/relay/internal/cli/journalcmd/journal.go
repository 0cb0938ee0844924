// Package journalcmd has the commands that read the journal, or write to it.
package journalcmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/daemon"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// Journal is relay journal: verify, back up and fill it.
func Journal(p *state.State) *cobra.Command {
	cmd := &cobra.Command{
		Use: "journal", Short: "Verify, back up or fill the journal", Args: state.NoUnknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(journalVerifyCommand(p), journalBackupCommand(p), journalImportCommand(p))
	return cmd
}

// journalFiles is the folder of the journal's files, which must be there.
func journalFiles(p *state.State) (string, error) {
	dir, err := p.DataPath()
	if err != nil {
		return "", err
	}
	at := filepath.Join(dir, datadir.JournalDir)
	if err := datadir.CheckFormat(at); err != nil {
		return "", exit.With(exit.Unavailable, err)
	}
	if _, err := os.Stat(at); err != nil {
		return "", exit.With(exit.Unavailable, fmt.Errorf("open the journal in %s: %w; name its data folder with --data-dir. A journal on a NATS server (journal.nats_url) is that server's to verify and back up", dir, journal.ErrNoJournal))
	}
	return at, nil
}

func journalVerifyCommand(p *state.State) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Read the whole journal and check every record", Args: state.NoArgs,
		Long: `Read every record of the journal on this machine and check its checksum. It changes nothing, and works while relay runs. What is wrong
is printed, a line each; the exit code is 1 then.`,
		Example: "  relay journal verify\n  relay journal verify --data-dir /backup/2026-07-16",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := journalFiles(p)
			if err != nil {
				return err
			}
			return runVerify(cmd.Context(), p, at, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the summary as a JSON object")
	return cmd
}

func runVerify(ctx context.Context, p *state.State, at string, asJSON bool) error {
	summary, err := filelog.Verify(ctx, at, func(f filelog.Finding) {
		if !asJSON {
			_, _ = fmt.Fprintln(p.Out, findingLine(&f)) // the summary fails likewise
		}
	})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if asJSON {
		err = json.NewEncoder(p.Out).Encode(summary)
	} else {
		err = p.Say("Verified %d records in %d segments, %d MiB.", summary.Records, summary.Segments, summary.Bytes>>20)
	}
	var faults []error
	if summary.Findings > 0 {
		faults = append(faults, fmt.Errorf("the journal in %s has %d faults; when relay runs, what TreatStream's history still holds is journaled again", at, summary.Findings))
	}
	if !p.RelayRuns(ctx) { // a relay that runs has it open, and verified it at its start
		faults = append(faults, statefile.Verify(ctx, at))
	}
	return errors.Join(append(faults, err)...)
}

// findingLine is what is wrong with a place of the journal, in one line.
func findingLine(f *filelog.Finding) string {
	if f.Err != nil {
		return text.Line(f.Err.Error())
	}
	line := fmt.Sprintf("%s at %d: %d bytes are damaged", f.Segment, f.Offset, f.Size)
	switch f.Numbers.First {
	case 0:
		line += "; no record is lost"
	case f.Numbers.Last:
		line += fmt.Sprintf("; number %d is lost", f.Numbers.First)
	default:
		line += fmt.Sprintf("; numbers %d to %d are lost", f.Numbers.First, f.Numbers.Last)
	}
	if f.Account != "" {
		line += ", account " + text.Line(f.Account)
	}
	if !f.Time.IsZero() {
		line += ", journaled about " + text.Stamp(f.Time)
	}
	if f.Known {
		line += "; relay knows that"
	}
	return line
}

func journalBackupCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "backup DIR", Short: "Copy the journal, also while relay runs",
		Long: `Make a consistent copy of the journal, its state and the sinks' places in DIR, which must be new or empty. It works whether or not relay
runs. To restore, stop relay and put the copy in the place of the data folder's files; the logins (accounts) are not in it.`,
		Example: "  relay journal backup /backup/2026-07-16",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("%s takes one argument, the folder of the copy; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runBackup(cmd.Context(), p, args[0]) },
	}
}

func journalImportCommand(p *state.State) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Add the events of a relay export to the journal",
		Long: `Add events to the journal that relay export has written as JSON lines, from this journal or another. They are known, so that the history
does not bring them again, and shown and replayed like others, but delivered to nobody by themselves. Events that the journal has are left out. Relay
must not run meanwhile. - reads standard input.`,
		Example: "  relay journal import events.jsonl\n  relay export --data-dir old | relay journal import -",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit.Usagef("%s takes one argument, the file, or - for standard input; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := p.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("import events: %w", err)
				}
				defer f.Close() //nolint:errcheck // it was only read
				in = f
			}
			return runImport(cmd.Context(), p, in)
		},
	}
}

func runImport(ctx context.Context, p *state.State, in io.Reader) error {
	log := p.Logger()
	cfg, err := p.LoadConfig(log)
	if err != nil {
		return err
	}
	dir, err := p.DataPath()
	if err != nil {
		return err
	}
	return daemon.Import(ctx, daemon.Options{Config: cfg, Dir: dir, Log: log}, in, func(added, known int) error {
		return p.Say("Imported %d events; %d were in the journal already.", added, known)
	})
}

// runBackup copies the journal of the data folder. The state is copied before the log, so that no place in the copy is past its end.
func runBackup(ctx context.Context, p *state.State, to string) (err error) {
	at, err := journalFiles(p)
	if err != nil {
		return err
	}
	to = filepath.Join(to, datadir.JournalDir)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("back up the journal: %w; choose another folder", err)
	}
	var undo datadir.Teardown
	defer func() { err = errors.Join(err, undo.Run()) }()
	files, err := p.Access()
	if err != nil {
		return err
	}
	c, err := files.FilesClient(ctx, &undo)
	if err != nil {
		return err
	}
	var items []api.StateItem
	for item, err := range c.State(ctx) {
		if err != nil {
			return fmt.Errorf("back up the journal: %w", err)
		}
		items = append(items, item)
	}
	log, err := filelog.OpenReader(ctx, filelog.Options{Dir: at, Log: p.Logger()})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	undo.Add("journal", log.Close)
	if err := filelog.Backup(ctx, log, to); err != nil {
		return err
	}
	if err := writeState(ctx, items, to, p.Logger()); err != nil {
		return fmt.Errorf("back up the journal: %w", err)
	}
	return p.Say("Copied the journal to %s. relay journal verify --data-dir %s reads the copy.", to, text.ShellQuote(filepath.Dir(to)))
}

// writeState writes a state with these items.
func writeState(ctx context.Context, items []api.StateItem, dir string, log zerolog.Logger) (err error) {
	to, err := statefile.Open(ctx, statefile.Options{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	for _, item := range items {
		if _, err := to.Put(ctx, item.Key, item.Value, journal.AnyRevision); err != nil {
			return err
		}
	}
	return nil
}
