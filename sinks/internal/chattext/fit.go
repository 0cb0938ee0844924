package chattext

import (
	"sort"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/treatrelay/relay/internal/displaytext"
)

// What is kept of a text that a viewer wrote.
const (
	MaxLines = 20

	ellipsis = "…"
)

// Clean is [displaytext.Clean].
func Clean(text string, lines int) string { return displaytext.Clean(text, lines) }

// Units is the length of text in UTF-16 code units. Discord counts code points, one of its developers says
// (discord-api-docs, issue 1315), and its clients count code units: this is the greater of the two.
func Units(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// Fit returns escape(text), or, if that is longer than limit in [units], of as much of the beginning of text as fits with
// an ellipsis. It cuts between grapheme clusters (Unicode Standard Annex 29), and never within what escape makes of one
// character. limit is at least 1.
func Fit(text string, limit int, escape func(string) string) string {
	if whole := escape(text); Units(whole) <= limit {
		return whole
	}
	var ends []int
	for rest, state, end := text, -1, 0; rest != "" && len(ends) < limit; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		end += len(cluster)
		ends = append(ends, end)
	}
	n := sort.Search(len(ends), func(i int) bool { return Units(escape(text[:ends[i]]))+1 > limit })
	if n == 0 {
		return ellipsis
	}
	return escape(strings.TrimRight(text[:ends[n-1]], " \n")) + ellipsis
}

// Verbatim is the escape of a place without markup.
func Verbatim(text string) string { return text }
