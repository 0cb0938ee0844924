// Package text formats text for people, and parses what they type: lines, times, quoted words, suggestions.
package text

import (
	"strings"
	"unicode"
)

// Printable makes untrusted text safe for one line of a terminal: spaces of any kind become blanks, and other unprintable characters U+FFFD.
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

// Line joins the words of a text with single blanks, and makes it Printable.
func Line(text string) string { return Printable(strings.Join(strings.Fields(text), " ")) }

// Cell makes untrusted text safe for a column of a table, at most width characters wide. A nil text is a dash.
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

// OneLine returns the text of an error with its lines joined by "; ".
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
