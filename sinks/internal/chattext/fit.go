package chattext

import (
	"sort"
	"strings"

	"github.com/rivo/uniseg"
)

// Limits on the text of a viewer.
const (
	MaxLines = 20

	ellipsis = "…"
)

// Units returns the length of text in UTF-16 code units. According to one of its developers, Discord counts code points
// (discord-api-docs, issue 1315), but its clients count code units. This is the larger of the two.
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

// Fit returns escape(text). If that has more than limit [Units], it escapes as much of the beginning of text as fits,
// and appends an ellipsis. It cuts between grapheme clusters (Unicode Standard Annex 29), and never within the escape
// of a character. limit must be at least 1.
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

// Verbatim is the escape function for places without markup.
func Verbatim(text string) string { return text }
