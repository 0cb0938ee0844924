package overlay

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"

	"github.com/treatrelay/relay/internal/displaytext"
)

// How many graphemes of each text are shown, and lines of a message.
const (
	maxName    = 80
	maxTitle   = 80
	maxMessage = 300
	maxLines   = 6
)

// clamp returns at most limit graphemes of a text, with an ellipsis if it is cut.
func clamp(text string, limit int) string {
	end, kept := 0, 0
	for rest, state, n := text, -1, 0; rest != ""; n++ {
		if n == limit {
			return strings.TrimRight(text[:kept], " \n") + "…"
		}
		var cluster string
		kept = end
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		end += len(cluster)
	}
	return text
}

// hidden replaces words by asterisks.
type hidden map[string]bool

func newHidden(list []string) hidden {
	h := make(hidden, len(list))
	for _, w := range list {
		for _, one := range words(w) {
			h[one] = true
		}
	}
	return h
}

// in returns the text without the hidden words.
func (h hidden) in(text string) string {
	if len(h) == 0 {
		return text
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		n := strings.IndexFunc(rest, func(r rune) bool { return !isWord(r) })
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			gap := strings.IndexFunc(rest, isWord)
			if gap < 0 {
				gap = len(rest)
			}
			b.WriteString(rest[:gap])
			rest = rest[gap:]
			continue
		}
		if h.has(fold(rest[:n])) {
			b.WriteString(strings.Repeat("*", uniseg.GraphemeClusterCount(rest[:n])))
		} else {
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String()
}

// has reports whether a folded word is hidden. Where a script writes no spaces, a part of it is enough.
func (h hidden) has(word string) bool {
	if h[word] {
		return true
	}
	for w := range h {
		if unspaced(w) && strings.Contains(word, w) {
			return true
		}
	}
	return false
}

// words returns the words of a text, folded.
func words(text string) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) })
	for i, w := range all {
		all[i] = fold(w)
	}
	return all
}

func isWord(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// fold makes spellings of a word equal: lower case, no accents, no compatibility forms.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(word))
}

// unspaced reports whether a word is of a script that writes no spaces between words.
func unspaced(word string) bool {
	for _, r := range word {
		if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
			return true
		}
	}
	return false
}

// clean makes a text of a viewer fit for the screen.
func clean(text *string, limit, lines int, h hidden) string {
	if text == nil {
		return ""
	}
	return h.in(clamp(h.in(displaytext.Clean(*text, lines)), limit)) // again: a cut may make a hidden word of a longer one
}
