package journalcmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/atomicfile"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// exportOptions are the options of relay export.
type exportOptions struct {
	*state.State
	eventFlags
	format, output string
}

// NewExportCmd returns relay export.
func NewExportCmd(s *state.State) *cobra.Command {
	o := exportOptions{State: s}
	cmd := &cobra.Command{
		Use: "export", Short: "Write the treats in the journal to a file, as JSON lines or CSV", Args: state.NoArgs,
		Long: `Write the treats in the journal to standard output or a file, for your own
records: the events as they are, one per line (jsonl), or a table (csv, RFC
4180, UTF-8). Each treat is written once. Tests and replays are not written
unless --origin selects them. In CSV, a text that a spreadsheet would interpret
as a formula begins with a single quote (').`,
		Example: "  relay export --format csv --since 2026-07-01 --until 2026-08-01 --output july.csv\n  relay export | gzip > treats.jsonl.gz",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	o.register(flags, "live, backfill, test or replay; by default live and backfill")
	flags.StringVar(&o.format, "format", "jsonl", "jsonl or csv")
	flags.StringVar(&o.output, "output", "", "file to write, readable by you only; replaces an existing one (default standard output)")
	return cmd
}

func (o *exportOptions) run(ctx context.Context) error {
	filter, err := o.filter(time.Now(), allOrigins()...)
	if err != nil {
		return err
	}
	if len(filter.Origins) == 0 {
		filter.Origins = treatOrigins()
	}
	if o.format != "jsonl" && o.format != "csv" {
		return exit.Usagef("--format %q: want jsonl or csv", o.format)
	}
	if o.output != "" {
		return o.writeFile(ctx, filter)
	}
	_, err = o.write(ctx, filter, o.Out)
	return state.IgnoreClosedPipe(err)
}

// writeFile replaces the file of --output, or creates it, readable by its user only. On an error the file is unchanged.
func (o *exportOptions) writeFile(ctx context.Context, filter query.EventFilter) error {
	n, opened := 0, false
	err := atomicfile.WriteFunc(o.output, func(w io.Writer) (err error) {
		opened = true
		n, err = o.write(ctx, filter, w)
		return err
	})
	if err != nil {
		err = fmt.Errorf("write %s: %w", o.output, err)
		if !opened {
			err = exit.With(exit.Unavailable, err)
		}
		return err
	}
	return o.Say("Wrote %s to %s.", plural(n, "event"), o.output)
}

// write writes the events that match, and returns their number.
func (o *exportOptions) write(ctx context.Context, filter query.EventFilter, w io.Writer) (n int, err error) {
	buffered := bufio.NewWriterSize(w, 64<<10)
	write := func(e *api.Event) error {
		_, err := fmt.Fprintf(buffered, "%s\n", e.Event)
		return err
	}
	if o.format == "csv" {
		write = func(e *api.Event) error {
			event, err := e.Record().Event()
			if err != nil {
				return err
			}
			return writeCSV(buffered, CSVRow(&event))
		}
		if err := writeCSV(buffered, CSVHeader()); err != nil {
			return 0, err
		}
	}
	err = o.WithAPI(ctx, func(c *api.Client) error {
		return forEachEvent(ctx, c, &api.EventQuery{EventFilter: filter}, func(e *api.Event) error {
			n++
			return write(e)
		})
	})
	if err != nil {
		return n, err
	}
	return n, buffered.Flush()
}
