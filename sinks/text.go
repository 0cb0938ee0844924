package sinks

import (
	"sort"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// What is kept of a text that a viewer wrote.
const (
	maxMarks = 4 // combining marks on one base: more than any living script needs, less than zalgo
	maxTags  = 7 // tag characters of a flag, as in that of Scotland, with the one that ends it
	maxLines = 20
	maxClean = 16 << 10 // bytes: several times what is ever shown of a text

	ellipsis  = "…"
	zwnj, zwj = '\u200c', '\u200d'
)

// clean makes a text from outside harmless to look at, without changing what it says: it takes out control, format and
// bidirectional characters, invisible ones and noncharacters, all but a few of the combining marks on one base, and
// white space at the ends and in excess, and leaves at most that many lines. Joiners stay where a script or an emoji
// needs them. The end of a text of more than 16 KiB is left out. The result is valid UTF-8, and cleaning it again changes nothing.
func clean(text string, lines int) string {
	c := cleaner{lines: lines - 1}
	c.out.Grow(min(len(text), 1<<12))
	for _, r := range text { // An invalid byte is U+FFFD here.
		if c.add(r); c.out.Len() > maxClean {
			break
		}
	}
	return c.out.String()
}

// A cleaner holds what the next character depends on.
type cleaner struct {
	out     strings.Builder
	lines   int  // line breaks it may still write
	breaks  int  // line breaks read since the last visible character
	space   bool // white space read since then
	cr      bool // the last character read was a carriage return
	joiner  rune // one read since then
	last    rune // the last character written
	marks   int  // since the last base
	tags    int  // since the flag; -1 after another base
	visible bool // a base has been written
}

func (c *cleaner) add(r rune) {
	cr := c.cr
	c.cr = r == '\r'
	switch {
	case r > ' ' && r < 0x7f: // most of what there is
		c.base(r)
	case r == '\n' && cr:
	case strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r):
		c.breaks, c.joiner = c.breaks+1, 0
	case unicode.IsSpace(r) || r == '\u2800': // the empty braille pattern
		c.space, c.joiner = true, 0
	case r == zwj || r == zwnj:
		if c.attached() {
			c.joiner = r
		}
	case r >= 0xe0020 && r <= 0xe007f:
		if c.attached() && c.tags >= 0 && c.tags < maxTags {
			c.write(r)
			c.tags++
		}
	case isHidden(r):
	case unicode.In(r, unicode.Mn, unicode.Me):
		if c.attached() && c.marks < maxMarks {
			c.join(r)
			c.write(r)
			c.marks++
		}
	default:
		c.base(r)
	}
}

// base writes a visible character.
func (c *cleaner) base(r rune) {
	c.gap()
	c.join(r)
	c.write(r)
	c.marks, c.tags, c.visible = 0, -1, true
	if r == '\U0001f3f4' { // the black flag, which tags make the flag of a region
		c.tags = 0
	}
}

// attached reports whether what comes next stands directly behind a visible character.
func (c *cleaner) attached() bool { return c.visible && c.breaks == 0 && !c.space }

func (c *cleaner) write(r rune) {
	c.out.WriteRune(r)
	c.last = r
}

// gap writes the white space that was read.
func (c *cleaner) gap() {
	n := min(c.breaks, 2, c.lines)
	switch {
	case !c.visible:
	case n > 0:
		c.out.WriteString("\n\n"[:n])
		c.lines -= n
	case c.breaks > 0 || c.space:
		c.out.WriteByte(' ')
	}
	c.breaks, c.space = 0, false
}

// join writes the joiner that was read, if it is of use before next.
func (c *cleaner) join(next rune) {
	if c.joiner != 0 && joins(c.last) && joins(next) {
		c.out.WriteRune(c.joiner)
	}
	c.joiner = 0
}

// joins reports whether a joiner beside r can mean something: r is a part of an emoji, or belongs to a script whose letters
// change beside one another. Anywhere else it only hides in a word.
func joins(r rune) bool {
	return unicode.IsSymbol(r) && r > unicode.MaxLatin1 || unicode.In(r, unicode.L, unicode.M) && !unicode.In(r,
		unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// isHidden reports whether r shows as nothing, or changes how others show.
func isHidden(r rune) bool {
	switch {
	case r == '\ufe0e' || r == '\ufe0f': // as text or as emoji; they count as marks
		return false
	case unicode.Is(unicode.Cf, r):
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
	}
	return unicode.In(r, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point)
}

// units is the length of text in UTF-16 code units. Discord counts code points, one of its developers says
// (discord-api-docs, issue 1315), and its clients count code units: this is the greater of the two.
func units(text string) int {
	n := 0
	for _, r := range text {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}

// fit returns escape(text), or, if that is longer than limit in [units], of as much of the beginning of text as fits with
// an ellipsis. It cuts between grapheme clusters (Unicode Standard Annex 29), and never within what escape makes of one
// character. limit is at least 1.
func fit(text string, limit int, escape func(string) string) string {
	if whole := escape(text); units(whole) <= limit {
		return whole
	}
	var ends []int
	for rest, state, end := text, -1, 0; rest != "" && len(ends) < limit; {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		end += len(cluster)
		ends = append(ends, end)
	}
	n := sort.Search(len(ends), func(i int) bool { return units(escape(text[:ends[i]]))+1 > limit })
	if n == 0 {
		return ellipsis
	}
	return escape(strings.TrimRight(text[:ends[n-1]], " \n")) + ellipsis
}

// verbatim is the escape of a place without markup.
func verbatim(text string) string { return text }

// escapeMarkdown makes Discord show a clean text as it is: no emphasis, code, spoiler, link, heading, list, quote, mention,
// timestamp or emoji comes of it. A backslash takes the meaning of the character behind it.
func escapeMarkdown(text string) string {
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	start, digits := true, false // at the beginning of a line; behind digits that are
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

// escapeMrkdwn makes Slack show a clean text as it is. Of &, < and > Slack takes entities for the characters; for what
// formats it knows no escape, so that look-alikes stand in for it. Only an underscore within a word, as names have it, means
// nothing and stays.
func escapeMrkdwn(text string) string {
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
