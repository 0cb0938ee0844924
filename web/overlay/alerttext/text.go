// Package alerttext makes the texts of viewers fit for the screen, and finds pictures for what they send. It knows nothing of alerts: what is cut to
// which length, and which words are hidden, is up to its caller.
package alerttext

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/treatrelay/relay/internal/displaytext"
)

// Clamp returns at most limit graphemes of a text, with an ellipsis if it is cut.
func Clamp(text string, limit int) string {
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

// Hidden replaces words by asterisks.
type Hidden struct {
	words   map[string]bool // of letters and digits alone, folded
	symbols []string        // with other characters, such as c++, folded
}

// NewHidden returns what hides the words of a list, in any case. A word has no spaces.
func NewHidden(list []string) Hidden {
	h := Hidden{words: make(map[string]bool, len(list))}
	for _, w := range list {
		switch folded := Fold(w); {
		case folded == "":
		case strings.ContainsFunc(folded, func(r rune) bool { return !isWord(r) }):
			h.symbols = append(h.symbols, folded)
		default:
			h.words[folded] = true
		}
	}
	slices.SortFunc(h.symbols, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the longest first
	return h
}

// in returns the text without the hidden words.
func (h Hidden) in(text string) string { return h.withoutWords(h.withoutSymbols(text)) }

// withoutSymbols replaces the words with symbols, where no letter or digit is next to them.
func (h Hidden) withoutSymbols(text string) string {
	folded := Fold(text)
	found := slices.DeleteFunc(slices.Clone(h.symbols), func(w string) bool { return !strings.Contains(folded, w) })
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	inWord := false // the character before is a letter or digit
	for rest := text; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		shown := rest[:n]
		if length := prefixOf(rest, found); length > 0 && !inWord {
			n = length
			shown = strings.Repeat("*", uniseg.GraphemeClusterCount(rest[:n]))
		}
		b.WriteString(shown)
		inWord, rest = isWord(r), rest[n:]
	}
	return b.String()
}

// prefixOf returns the length of the first of some folded words that a text begins with, or 0.
func prefixOf(text string, words []string) int {
	for _, w := range words {
		if n := lengthIn(text, w); n > 0 {
			return n
		}
	}
	return 0
}

// lengthIn returns the length of the folded word that a text begins with, or 0 if it begins with another.
func lengthIn(text, word string) int {
	for at, r := range text {
		if word == "" && !unicode.Is(unicode.Mn, r) {
			if isWord(r) {
				return 0 // it is longer
			}
			return at
		}
		var ok bool
		if word, ok = strings.CutPrefix(word, Fold(string(r))); !ok {
			return 0
		}
	}
	if word != "" {
		return 0
	}
	return len(text)
}

// withoutWords replaces the words of letters and digits.
func (h Hidden) withoutWords(text string) string {
	if len(h.words) == 0 {
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
		if h.has(Fold(rest[:n])) {
			b.WriteString(strings.Repeat("*", uniseg.GraphemeClusterCount(rest[:n])))
		} else {
			b.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	return b.String()
}

// has reports whether a folded word is hidden. Where a script writes no spaces, a part of it is enough.
func (h Hidden) has(word string) bool {
	if h.words[word] {
		return true
	}
	for w := range h.words {
		if unspaced(w) && strings.Contains(word, w) {
			return true
		}
	}
	return false
}

// Words returns the words of a text, folded.
func Words(text string) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) })
	for i, w := range all {
		all[i] = Fold(w)
	}
	return all
}

func isWord(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// Fold makes spellings of a word equal: no case, no accents, no compatibility forms.
func Fold(word string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(cases.Fold().String(norm.NFKD.String(word))))
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

// Clean makes a text of a viewer fit for the screen.
func Clean(text *string, limit, lines int, h Hidden) string {
	if text == nil {
		return ""
	}
	return h.in(Clamp(h.in(displaytext.Clean(*text, lines)), limit)) // again: a cut may make a hidden word of a longer one
}
