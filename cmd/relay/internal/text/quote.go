package text

import (
	"regexp"
	"strings"
)

// ShellQuote makes one word of text for a POSIX shell.
func ShellQuote(text string) string {
	if regexp.MustCompile(`^[\w./:@%+=,-]+$`).MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// QuoteYAML is a text of one line as a YAML value.
func QuoteYAML(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
