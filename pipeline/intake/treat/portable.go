package treat

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/jsonscan"
	"github.com/treatrelay/relay/pipeline"
)

const (
	// maxRawDepth is how deep values are nested that are kept of a provider's object: some parsers stop at 100 or 256.
	maxRawDepth = 64
	// maxRawNumber is how long a number is that is kept as one: some parsers refuse long ones.
	maxRawNumber = 64
	// maxRawExponent bounds its exponent, which is that of a 64-bit float.
	maxRawExponent = 308
)

// Portable returns JSON that every parser reads, and in the same way, in place of JSON that is valid only to the letter. Of a text, half a
// surrogate pair and what is no UTF-8 are U+FFFD; a number that a 64-bit float does not hold, or that is very long, is a string of the same
// digits; of members with the same name the last is left; and what is nested deeper than maxRawDepth is null. The JSON has to be valid, and not
// empty.
func Portable(raw json.RawMessage) json.RawMessage {
	return appendPortable(make([]byte, 0, len(raw)), bytes.TrimSpace(raw), 1)
}

func appendPortable(b, value []byte, depth int) []byte {
	switch value[0] {
	case '{':
		if depth > maxRawDepth {
			return append(b, "null"...)
		}
		return appendMembers(b, value, depth)
	case '[':
		if depth > maxRawDepth {
			return append(b, "null"...)
		}
		b = append(b, '[')
		first := true
		jsonscan.Elements(value, func(element []byte) {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = appendPortable(b, element, depth+1)
		})
		return append(b, ']')
	case '"':
		return appendPortableText(b, value)
	case 't', 'f', 'n':
		return append(b, value...)
	}
	if portableNumber(value) {
		return append(b, value...)
	}
	return append(append(append(b, '"'), value...), '"')
}

func appendMembers(b, object []byte, depth int) []byte {
	type member struct{ key, value []byte }
	var members []member
	at := make(map[string]int)
	jsonscan.Members(object, func(key, value []byte) {
		name := jsonscan.Unquote(key)
		if i, again := at[name]; again {
			members[i].value = value
			return
		}
		at[name] = len(members)
		members = append(members, member{key, value})
	})
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendPortableText(b, m.key), ':')
		b = appendPortable(b, m.value, depth+1)
	}
	return append(b, '}')
}

// appendPortableText keeps a text as it is written, unless there is something to replace in it.
func appendPortableText(b, quoted []byte) []byte {
	if utf8.Valid(quoted) && !bytes.Contains(quoted, []byte(`\u`)) {
		return append(b, quoted...)
	}
	text, _ := pipeline.EncodeJSON(jsonscan.Unquote(quoted)) // a text cannot fail to encode
	return append(b, text...)
}

// portableNumber reports whether a number is one to every parser.
func portableNumber(number []byte) bool {
	if len(number) > maxRawNumber {
		return false
	}
	mantissa, exponent := number, []byte(nil)
	if at := bytes.IndexAny(number, "eE"); at >= 0 {
		mantissa, exponent = number[:at], number[at+1:]
	}
	if len(exponent) > 0 {
		n, err := strconv.Atoi(string(exponent))
		if err != nil || n > maxRawExponent || n < -maxRawExponent {
			return false
		}
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.IsInf(f, 0) {
		return false
	}
	return f != 0 || !bytes.ContainsAny(mantissa, "123456789") // else it is too small
}
