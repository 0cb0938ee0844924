package text

import (
	"regexp"
	"strings"
)

// ShellQuote quotes text, if necessary, as one word for a POSIX shell.
func ShellQuote(text string) string {
	if regexp.MustCompile(`^[\w./:@%+=,-]+$`).MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// QuoteYAML quotes a text of one line as a YAML value.
func QuoteYAML(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
