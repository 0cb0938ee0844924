package journalcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// journalVerifyOptions are the options of relay journal verify.
type journalVerifyOptions struct {
	*state.State
	json bool
}

func newJournalVerifyCmd(s *state.State) *cobra.Command {
	o := journalVerifyOptions{State: s}
	cmd := &cobra.Command{
		Use: "verify", Short: "Read the whole journal and verify every record", Args: state.NoArgs,
		Long: `Read every record of the journal on this machine and verify its checksum. Use it
after a disk failure, or for a backup. It changes nothing, and works while relay
runs. It prints each fault on a line; if there is one, the exit code is 1.`,
		Example: "  relay journal verify\n  relay journal verify --data-dir /backup/2026-07-16",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print only a summary, as a JSON object")
	return cmd
}

func (o *journalVerifyOptions) run(ctx context.Context) error {
	files, err := findJournalFiles(o.State)
	if err != nil {
		return err
	}
	summary, err := filelog.Verify(ctx, files, func(f filelog.Finding) {
		if !o.json {
			_ = o.Print(describeFinding(&f)) // printing the summary returns the error
		}
	})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	if o.json {
		err = o.PrintJSON(summary)
	} else {
		err = o.Say("Verified %d records in %d segments, %d MiB.", summary.Records, summary.Segments, summary.Bytes>>20)
	}
	var faults []error
	if summary.Findings > 0 {
		faults = append(faults, fmt.Errorf("the journal in %s has %d faults; when relay runs, it journals again what TreatStream's history still has", files, summary.Findings))
	}
	if !o.RelayRuns(ctx) { // a running relay has the state open, and verified it when it started
		faults = append(faults, statefile.Verify(ctx, files))
	}
	return errors.Join(append(faults, err)...)
}

// describeFinding describes a damaged part of the journal in one line.
func describeFinding(f *filelog.Finding) string {
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
		line += "; relay knows about it"
	}
	return line
}
