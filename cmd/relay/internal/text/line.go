// Package text makes text that people read or type: lines, times, quoted words, suggestions.
package text

import (
	"strings"
	"unicode"
)

// Printable makes text that others wrote fit for one line of a terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Line makes one printable line of a text.
func Line(text string) string { return Printable(strings.Join(strings.Fields(text), " ")) }

// Cell makes a viewer's text fit for a column of a table.
func Cell(text *string, width int) string {
	if text == nil {
		return "-"
	}
	runes := []rune(Printable(*text))
	if len(runes) > width {
		runes = append(runes[:width-1], '…')
	}
	return string(runes)
}

// OneLine is an error as one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
