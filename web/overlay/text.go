package overlay

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
type hidden struct {
	words   map[string]bool // of letters and digits alone, folded
	symbols []string        // with other characters, such as c++, folded
}

func newHidden(list []string) hidden {
	h := hidden{words: make(map[string]bool, len(list))}
	for _, w := range list {
		switch folded := fold(w); {
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
func (h hidden) in(text string) string { return h.withoutWords(h.withoutSymbols(text)) }

// withoutSymbols replaces the words with symbols, where no letter or digit is next to them.
func (h hidden) withoutSymbols(text string) string {
	folded := fold(text)
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
		if word, ok = strings.CutPrefix(word, fold(string(r))); !ok {
			return 0
		}
	}
	if word != "" {
		return 0
	}
	return len(text)
}

// withoutWords replaces the words of letters and digits.
func (h hidden) withoutWords(text string) string {
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

// words returns the words of a text, folded.
func words(text string) []string {
	all := strings.FieldsFunc(text, func(r rune) bool { return !isWord(r) })
	for i, w := range all {
		all[i] = fold(w)
	}
	return all
}

func isWord(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }

// fold makes spellings of a word equal: no case, no accents, no compatibility forms.
func fold(word string) string {
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

// clean makes a text of a viewer fit for the screen.
func clean(text *string, limit, lines int, h hidden) string {
	if text == nil {
		return ""
	}
	return h.in(clamp(h.in(displaytext.Clean(*text, lines)), limit)) // again: a cut may make a hidden word of a longer one
}
