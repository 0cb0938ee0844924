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
	// maxRawDepth bounds the nesting of values: some parsers stop at 100 or 256.
	maxRawDepth = 64
	// maxRawNumber bounds the length of a number: some parsers reject long ones.
	maxRawNumber = 64
	// maxRawExponent bounds the exponent, as a 64-bit float does.
	maxRawExponent = 308
)

// Portable rewrites valid JSON into JSON that every parser reads in the same way. In
// strings, lone surrogates and invalid UTF-8 become U+FFFD. A number that is very long or that a 64-bit float cannot
// hold becomes a string of its digits. Of members with the same name the last one stays. Values nested deeper than
// maxRawDepth become null. The input must be valid JSON.
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

// appendPortableText keeps a string as it is written, unless something must be replaced.
func appendPortableText(b, quoted []byte) []byte {
	if utf8.Valid(quoted) && !bytes.Contains(quoted, []byte(`\u`)) {
		return append(b, quoted...)
	}
	text, _ := pipeline.EncodeJSON(jsonscan.Unquote(quoted)) // encoding a string never fails
	return append(b, text...)
}

// portableNumber reports whether every parser reads a number in the same way.
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
	return f != 0 || !bytes.ContainsAny(mantissa, "123456789") // otherwise it is too small
}
