package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
)

// Say writes a line for people to standard error.
func (s *State) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Err, format+"\n", args...)
	return err
}

// Print writes lines of data to standard output.
func (s *State) Print(lines ...string) error {
	_, err := fmt.Fprintln(s.Out, strings.Join(lines, "\n"))
	return err
}

// PrintJSON writes a value to standard output as JSON on one line.
func (s *State) PrintJSON(value any) error { return WriteJSON(s.Out, value) }

// WriteJSON writes a value as JSON on one line.
func WriteJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// IgnoreClosedPipe returns nil if err comes from a pipe that its reader has closed, as head does, and err otherwise.
func IgnoreClosedPipe(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// A Table writes rows in aligned columns. Rows may be buffered until [Table.Flush], which returns the first error.
type Table struct {
	w   *tabwriter.Writer
	err error
}

// NewTable returns an empty table.
func NewTable(w io.Writer) *Table { return &Table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// Row adds a row. Without cells it is an empty line, after which the columns are aligned independently.
func (t *Table) Row(cells ...string) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, strings.Join(cells, "\t"))
	}
}

// Flush writes the rows.
func (t *Table) Flush() error {
	if err := t.w.Flush(); t.err == nil {
		t.err = err
	}
	return t.err
}
