// Package displaytext makes text that a viewer wrote safe to display: [Clean] removes what hides, reorders or overflows.
package displaytext

import (
	"strings"
	"unicode"
)

// Limits of Clean.
const (
	maxMarks = 4        // combining marks on one base: more than any living script needs, less than zalgo
	maxTags  = 7        // tag characters of a flag, as in that of Scotland, with the one that ends it
	maxClean = 16 << 10 // bytes: several times more than is ever shown

	zwnj, zwj = '\u200c', '\u200d'
)

// Clean makes a foreign text safe to display without changing its meaning. It removes control, format and bidirectional
// characters, invisible characters and noncharacters, surplus combining marks, and surplus white space, and keeps at
// most that many lines. It keeps joiners where a script or an emoji needs them. It truncates a text of more than 16
// KiB. The result is valid UTF-8, and cleaning it again changes nothing.
func Clean(text string, lines int) string {
	c := cleaner{lines: lines - 1}
	c.out.Grow(min(len(text), 1<<12))
	for _, r := range text { // an invalid byte is U+FFFD here
		if c.add(r); c.out.Len() > maxClean {
			break
		}
	}
	return c.out.String()
}

// A cleaner is the state of [Clean] between two characters.
type cleaner struct {
	out     strings.Builder
	lines   int  // line breaks that may still be written
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
	case r > ' ' && r < 0x7f: // the most frequent case
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

// attached reports whether the next character directly follows a visible one.
func (c *cleaner) attached() bool { return c.visible && c.breaks == 0 && !c.space }

func (c *cleaner) write(r rune) {
	c.out.WriteRune(r)
	c.last = r
}

// gap writes the white space read before.
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

// join writes the joiner read before, if it has an effect before next.
func (c *cleaner) join(next rune) {
	if c.joiner != 0 && joins(c.last) && joins(next) {
		c.out.WriteRune(c.joiner)
	}
	c.joiner = 0
}

// joins reports whether a joiner next to r can have an effect: r is part of an emoji, or its script has letters that
// change next to each other. Anywhere else, a joiner only hides in a word.
func joins(r rune) bool {
	return unicode.IsSymbol(r) && r > unicode.MaxLatin1 || unicode.In(r, unicode.L, unicode.M) && !unicode.In(r,
		unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// isHidden reports whether r is invisible or changes how other characters look.
func isHidden(r rune) bool {
	switch {
	case r == '\ufe0e' || r == '\ufe0f': // as text or as emoji; they count as marks
		return false
	case unicode.Is(unicode.Cf, r):
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r)
	}
	return unicode.In(r, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point, unicode.Noncharacter_Code_Point)
}
