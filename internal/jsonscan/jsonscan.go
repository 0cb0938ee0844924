// Package jsonscan reads JSON (RFC 8259) in place: it checks the grammar and copies nothing. It accepts and rejects the
// same texts as encoding/json, at a fraction of the cost. Most of the cost of a treat from the socket to the journal is
// JSON. Start reading at [Members].
package jsonscan

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// A scanner reads one value.
type scanner struct {
	text []byte
	at   int
}

// maxDepth bounds the nesting of values, as encoding/json does.
const maxDepth = 10_000

// Members calls visit for each member of an object. It reports whether the text is a single, complete object; if not,
// visit may have been called for members before the fault. Key and value alias the text; the key includes its quotes.
func Members(text []byte, visit func(key, value []byte)) bool {
	s := scanner{text: text}
	s.space()
	return s.object(1, visit) && s.end()
}

// Elements is like Members for an array.
func Elements(text []byte, visit func(value []byte)) bool {
	s := scanner{text: text}
	s.space()
	return s.array(1, visit) && s.end()
}

func (s *scanner) end() bool {
	s.space()
	return s.at == len(s.text)
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next consumes a byte if it comes next.
func (s *scanner) next(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) object(depth int, visit func(key, value []byte)) bool {
	if depth > maxDepth || !s.next('{') {
		return false
	}
	if s.space(); s.next('}') {
		return true
	}
	for {
		s.space()
		from := s.at
		if !s.quoted() {
			return false
		}
		key := s.text[from:s.at]
		if s.space(); !s.next(':') {
			return false
		}
		s.space()
		from = s.at
		if !s.value(depth + 1) {
			return false
		}
		if visit != nil {
			visit(key, s.text[from:s.at:s.at])
		}
		if s.space(); s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

func (s *scanner) array(depth int, visit func(value []byte)) bool {
	if depth > maxDepth || !s.next('[') {
		return false
	}
	if s.space(); s.next(']') {
		return true
	}
	for {
		s.space()
		from := s.at
		if !s.value(depth + 1) {
			return false
		}
		if visit != nil {
			visit(s.text[from:s.at:s.at])
		}
		if s.space(); s.next(']') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

func (s *scanner) value(depth int) bool {
	if s.at == len(s.text) {
		return false
	}
	switch s.text[s.at] {
	case '"':
		return s.quoted()
	case '{':
		return s.object(depth, nil)
	case '[':
		return s.array(depth, nil)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(word string) bool {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) quoted() bool {
	if !s.next('"') {
		return false
	}
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if s.at++; !s.escape() {
				return false
			}
		default:
			s.at++
		}
	}
	return false
}

// escape consumes what follows a backslash.
func (s *scanner) escape() bool {
	if s.at == len(s.text) {
		return false
	}
	c := s.text[s.at]
	s.at++
	if c != 'u' {
		return strings.IndexByte(`"\/bfnrt`, c) >= 0
	}
	for range 4 {
		if s.at == len(s.text) || !isHex(s.text[s.at]) {
			return false
		}
		s.at++
	}
	return true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

func (s *scanner) number() bool {
	s.next('-')
	if !s.next('0') && !s.digits() {
		return false
	}
	if s.next('.') && !s.digits() {
		return false
	}
	if s.next('e') || s.next('E') {
		if !s.next('+') {
			s.next('-')
		}
		return s.digits()
	}
	return true
}

// digits consumes one or more digits.
func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

// IsText reports whether a scanned JSON string has this text.
func IsText(quoted []byte, text string) bool {
	inner := quoted[1 : len(quoted)-1]
	return string(inner) == text || (bytes.IndexByte(inner, '\\') >= 0 || !utf8.Valid(inner)) && Unquote(quoted) == text
}

// Unquote returns the text of a scanned JSON string. Invalid UTF-8 and lone surrogates become U+FFFD.
func Unquote(quoted []byte) string {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner)
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return "" // it was scanned, so it is valid
	}
	return text
}
