package fingerprint

import (
	"cmp"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A Core is the part of a treat that survives a change of form between socket and history: a hash each of its sender,
// title and message, where 0 means none. The hashes ignore letter case, accents, white space, styles of quotation marks
// and dashes, emoji and the question marks that may replace them, HTML entities and backslashes, even if they were
// escaped repeatedly.
//
// In a burst, hundreds of treats of the same second may differ in a single part. So each hash is long enough to avoid
// collisions.
type Core struct {
	Sender, Title, Message uint32
}

func coreOf(sender, title, message *string) Core {
	who := foldHash(text(sender))
	if who == foldHash("anonymous") {
		who = 0
	}
	part := func(hash uint64) uint32 {
		if hash == 0 {
			return 0
		}
		return uint32(max(hash>>32, 1))
	}
	return Core{part(who), part(foldHash(text(title))), part(foldHash(text(message)))}
}

// SentBy reports whether a treat may come from a sender of that name.
func (c Core) SentBy(name string) bool { return c.Sender == coreOf(&name, nil, nil).Sender }

// IsZero reports whether no part is known.
func (c Core) IsZero() bool { return c == Core{} }

// Compare orders cores: negative if c comes before o, 0 if they are equal.
func (c Core) Compare(o Core) int {
	return cmp.Or(cmp.Compare(c.Sender, o.Sender), cmp.Compare(c.Title, o.Title), cmp.Compare(c.Message, o.Message))
}

// A Part is one of the three parts of a [Core].
type Part int

// The parts.
const (
	NoPart Part = iota
	MessagePart
	SenderPart
	TitlePart
)

// Without returns a core without a part.
func (c Core) Without(p Part) Core {
	switch p {
	case MessagePart:
		c.Message = 0
	case SenderPart:
		c.Sender = 0
	case TitlePart:
		c.Title = 0
	case NoPart:
	}
	return c
}

// Has reports whether a core has a part.
func (c Core) Has(p Part) bool { return c.Without(p) != c }

// Near reports whether two cores are equal, or would be if one of them did not lack a part.
func (c Core) Near(o Core) bool {
	if c == o {
		return true
	}
	for p := MessagePart; p <= TitlePart; p++ {
		if rest := c.Without(p); rest == o.Without(p) {
			return (!c.Has(p) || !o.Has(p)) && !rest.IsZero()
		}
	}
	return false
}

// Shares reports whether two treats have the same sender or message. A shared title means less, since there is a menu.
func (c Core) Shares(o Core) bool {
	return c.Sender != 0 && c.Sender == o.Sender || c.Message != 0 && c.Message == o.Message
}

const (
	// maxFolded bounds the folded text in bytes, and maxText the original, so that long texts stay cheap.
	maxFolded = 4 << 10
	maxText   = 64 << 10
)

// foldHash returns a hash of a text's folded form, or 0 if that is empty.
func foldHash(text string) uint64 {
	text = text[:min(len(text), maxText)]
	h := folding{}
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf || c == '&' || c == '\\' || c == '<':
			return foldSlowly(text)
		case 'A' <= c && c <= 'Z':
			h.add(c | 0x20)
		case c > ' ' && c != '?' && c != 0x7f:
			h.add(c)
		}
	}
	return h.sum()
}

// folding is FNV-1a with a final mix of its bits.
type folding struct {
	hash  uint64
	count int
}

func (f *folding) add(c byte) {
	switch f.count++; {
	case f.count == 1:
		f.hash = 14695981039346656037
	case f.count > maxFolded:
		return
	}
	f.hash = (f.hash ^ uint64(c)) * 1099511628211
}

func (f *folding) sum() uint64 {
	if f.count == 0 {
		return 0
	}
	x := f.hash
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	return max(x^x>>32, 1)
}

// maxEscapes bounds how many levels of escaping are undone.
const maxEscapes = 8

// foldSlowly folds a text that is not plain ASCII. It removes emoji before the normalization, which turns some into
// letters.
func foldSlowly(text string) uint64 {
	for range maxEscapes {
		plain := unescape(text)
		if plain == text {
			break
		}
		text = plain
	}
	var h folding
	text = norm.NFKD.String(strings.Map(keepRune, asciiPunctuation(text)))
	var room [utf8.UTFMax]byte
	for _, r := range text {
		if r = keepRune(r); r < 0 || unicode.Is(unicode.Mn, r) {
			continue
		}
		if r = unicode.ToLower(unicode.ToUpper(r)); r == 'ß' { // which is SS in upper case
			h.add('s')
			h.add('s')
			continue
		}
		for _, c := range room[:utf8.EncodeRune(room[:], r)] {
			h.add(c)
		}
	}
	return h.sum()
}

// asciiPunctuation replaces typographic quotation marks and dashes with their ASCII forms.
func asciiPunctuation(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '\u2018' && r <= '\u201b', r == '\u2032', r == '\u02bc':
			return '\''
		case r >= '\u201c' && r <= '\u201f', r == '\u2033':
			return '"'
		case r >= '\u2010' && r <= '\u2015', r == '\u2212':
			return '-'
		}
		return r
	}, text)
}

// keepRune drops characters that may get lost in transit: emoji and everything else outside the basic plane, which some
// databases cannot store; their replacement characters; and invisible characters.
func keepRune(r rune) rune {
	switch {
	case r > 0xffff, r == '?', r == unicode.ReplacementChar, unicode.IsSpace(r), unicode.In(r, unicode.C, unicode.So, unicode.Me):
		return -1
	case 0xfe00 <= r && r <= 0xfe0f: // variation selectors
		return -1
	}
	return r
}

// unescape undoes one level of escaping: HTML entities and line breaks, and backslashes.
func unescape(text string) string {
	if strings.IndexByte(text, '&') >= 0 {
		plain := html.UnescapeString(text)
		if plain == text { // there may be &NBSP; in it; the case does not matter
			plain = html.UnescapeString(strings.ToLower(text))
		}
		text = plain
	}
	if strings.IndexByte(text, '<') >= 0 {
		text = strings.NewReplacer("<br>", "", "<br/>", "", "<br />", "", "<BR>", "", "<BR/>", "", "<BR />", "").Replace(text)
	}
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			if text[i] != '\\' {
				b.WriteByte(text[i])
			}
			continue
		}
		i++
		switch c := text[i]; c {
		case 'n', 'r', 't':
		case 'u':
			if r, ok := hexRune(text[i+1:]); ok {
				b.WriteRune(r) // half a surrogate pair becomes a character that is dropped
				i += 4
				continue
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func hexRune(text string) (r rune, ok bool) {
	if len(text) < 4 {
		return 0, false
	}
	for i := range 4 {
		digit := strings.IndexByte("0123456789abcdef", text[i]|0x20)
		if digit < 0 {
			return 0, false
		}
		r = r<<4 | rune(digit) //nolint:gosec // a digit
	}
	return r, true
}
