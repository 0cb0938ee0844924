package chattext

import (
	"strings"
)

// EscapeMarkdown escapes a clean text so that Discord shows it literally: without emphasis, code, spoilers, links,
// headings, lists, quotes, mentions, timestamps and emoji. In Discord, a backslash disables the character behind it.
func EscapeMarkdown(text string) string {
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	start, digits := true, false // at the beginning of a line; behind digits that begin it
	for _, r := range text {
		switch {
		case strings.ContainsRune("\\*_~|`<>[]@:#", r),
			start && (r == '-' || r == '+'), digits && (r == '.' || r == ')'):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		digits = (start || digits) && '0' <= r && r <= '9'
		start = r == '\n' || start && r == ' '
	}
	return b.String()
}

// EscapeMrkdwn escapes a clean text so that Slack shows it literally. Slack has entities for &, < and >, but no escape
// for formatting characters, so similar characters replace those. An underscore within a word, as in names, has no
// effect and stays.
func EscapeMrkdwn(text string) string {
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	start, before := true, rune(0)
	for i, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>' && start: // a quotation
			b.WriteRune('›')
		case r == '>':
			b.WriteString("&gt;")
		case r == '`':
			b.WriteRune('ˋ')
		case r == '*':
			b.WriteRune('∗')
		case r == '~':
			b.WriteRune('∼')
		case r == '_' && (!isWord(before) || i+1 == len(text) || !isWord(rune(text[i+1]))):
			b.WriteRune('＿')
		default:
			b.WriteRune(r)
		}
		start = r == '\n' || start && (r == ' ' || r == '>')
		before = r
	}
	return b.String()
}

// isWord reports whether r is an ASCII letter or digit.
func isWord(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
