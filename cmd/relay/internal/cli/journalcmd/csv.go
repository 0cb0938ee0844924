package journalcmd

import (
	"bytes"
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/treatrelay/relay/pipeline"
)

// CSVHeader returns the names of the columns of [CSVRow].
func CSVHeader() []string {
	return []string{
		"id", "time", "recorded_time", "origin", "account", "provider", "sender", "sender_type", "receiver", "receiver_type",
		"title", "message", "anonymous", "date_created",
	}
}

// CSVRow returns an event as a row. A null value is an empty cell.
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

// csvText returns a text in a form that no spreadsheet interprets as a formula.
func csvText(text *string) string {
	if text == nil {
		return ""
	}
	if isFormula(*text) {
		return "'" + *text
	}
	return *text
}

// isFormula reports whether a spreadsheet may interpret a text as a formula: whether its first character begins one, in ASCII or a full-width
// form, or would begin one after the spreadsheet drops blanks and invisible characters. A text that begins with a control character counts
// as a formula, whatever follows.
func isFormula(text string) bool {
	for _, r := range text {
		switch {
		case strings.ContainsRune("=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212", r):
			return true
		case r == utf8.RuneError, unicode.Is(unicode.Z, r): // blanks of every width, and line separators
		case r == '\ufeff', unicode.IsControl(r):
			return true
		case !unicode.Is(unicode.Cf, r): // invisible characters, such as a zero-width space
			return false
		}
	}
	return false
}

// writeCSV writes one row that ends in CR LF, as RFC 4180 requires. Unlike [csv.Writer] with UseCRLF, it keeps line breaks within cells.
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
