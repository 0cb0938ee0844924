package journalcmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/atomicfile"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// Export is relay export: treats as a file.
func Export(p *state.State) *cobra.Command {
	var f eventFlags
	var format, output string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the treats of the journal to a file, as JSON lines or CSV", Args: state.NoArgs,
		Long: `Write the treats that the journal has for your own records: the events as they are, one a line (jsonl), or a table (csv, RFC 4180,
UTF-8). Each treat is written once; tests and replays are left out, unless --origin names them. A text that a spreadsheet would take
for a formula gets a ' before it in CSV.`,
		Example: "  relay export --format csv --since 2026-07-01 --until 2026-08-01 --output july.csv\n  relay export | gzip > treats.jsonl.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(time.Now(), pipeline.OriginLive, pipeline.OriginBackfill, pipeline.OriginTest, pipeline.OriginReplay)
			if err != nil {
				return err
			}
			if len(filter.Origins) == 0 {
				filter.Origins = []pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill}
			}
			if format != "jsonl" && format != "csv" {
				return exit.Usagef("--format %q: want jsonl or csv", format)
			}
			if output == "" {
				_, err := exportEvents(cmd.Context(), p, filter, format, p.Out)
				if errors.Is(err, syscall.EPIPE) {
					return nil
				}
				return err
			}
			return exportFile(cmd.Context(), p, filter, format, output)
		},
	}
	f.register(cmd.Flags(), "live, backfill, test or replay; live and backfill without it")
	cmd.Flags().StringVar(&format, "format", "jsonl", "jsonl or csv")
	cmd.Flags().StringVar(&output, "output", "", "file to write, for you only, in place of one that is there; without it standard output")
	return cmd
}

// exportFile replaces the file at path, or creates it, for its user only.
func exportFile(ctx context.Context, p *state.State, filter query.EventFilter, format, path string) (err error) {
	n, began := 0, false
	err = atomicfile.WriteFunc(path, func(w io.Writer) error {
		began = true
		n, err = exportEvents(ctx, p, filter, format, w)
		return err
	})
	if err != nil {
		err = fmt.Errorf("write %s: %w", path, err)
		if !began { // the file cannot be created there
			err = exit.With(exit.Unavailable, err)
		}
		return err
	}
	return p.Say("Wrote %d to %s.", n, path)
}

// exportEvents writes the events that match, and counts them.
func exportEvents(ctx context.Context, p *state.State, filter query.EventFilter, format string, w io.Writer) (n int, err error) {
	buffered := bufio.NewWriterSize(w, 64<<10)
	write := func(e *api.Event) error {
		_, err := fmt.Fprintf(buffered, "%s\n", e.Event)
		return err
	}
	if format == "csv" {
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
	err = p.WithAPI(ctx, func(c *api.Client) error {
		return eachEvent(ctx, c, &api.EventQuery{EventFilter: filter}, func(e *api.Event) error {
			n++
			return write(e)
		})
	})
	if err != nil {
		return n, err
	}
	return n, buffered.Flush()
}

// CSVHeader names the columns of [CSVRow].
func CSVHeader() []string {
	return []string{
		"id", "time", "recorded_time", "origin", "account", "provider", "sender", "sender_type", "receiver", "receiver_type",
		"title", "message", "anonymous", "date_created",
	}
}

// CSVRow is an event as a row. What is null is empty.
func CSVRow(e *pipeline.Event) []string {
	d := &e.Data
	row := []string{
		e.ID, e.Time.Format(time.RFC3339Nano), e.RecordedTime.Format(time.RFC3339Nano), string(e.Origin), d.Account, d.Provider,
	}
	for _, text := range []*string{d.Sender, d.SenderType, d.Receiver, d.ReceiverType, d.Title, d.Message} {
		row = append(row, csvText(text))
	}
	return append(row, strconv.FormatBool(d.Anonymous), csvText(d.DateCreated))
}

// csvText is a text that no spreadsheet takes for a formula.
func csvText(text *string) string {
	if text == nil {
		return ""
	}
	if formula(*text) {
		return "'" + *text
	}
	return *text
}

// formula reports whether a spreadsheet may take a text for a formula: its first sign begins one, in any of its widths, or would after what
// spreadsheets drop from the front. What begins with a control character is taken for one, whatever follows.
func formula(text string) bool {
	for _, r := range text {
		switch {
		case strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212", r):
			return true
		case r == utf8.RuneError, unicode.Is(unicode.Z, r): // spaces of every width, and what separates lines
		case r == '\ufeff', unicode.IsControl(r):
			return true
		case !unicode.Is(unicode.Cf, r): // what is not shown, such as a zero-width space
			return false
		}
	}
	return false
}

// writeCSV writes one row and ends it as RFC 4180 says. The line breaks within it stay as they are, which [csv.Writer] does not do
// when it ends rows so.
func writeCSV(w io.Writer, row []string) error {
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	err := c.Write(row)
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	if err != nil {
		return err
	}
	_, err = w.Write(append(bytes.TrimSuffix(b.Bytes(), []byte("\n")), "\r\n"...))
	return err
}
