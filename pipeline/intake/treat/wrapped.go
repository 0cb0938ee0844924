package treat

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// A Leftover is a part of a payload that may have been meant as a treat, and could not be read.
type Leftover struct {
	Payload json.RawMessage
	Why     error // an [ErrNotTreat], or several, joined
}

// Decode reads the treats of all arguments of an event, in their order. A known field may be missing, null, a number or a boolean where a text is
// expected, unknown keys may stand beside it, and the object may be wrapped in arrays and in other objects, or be encoded once more as a JSON string
// or a Buffer.
//
// What is left are the arguments that hold something else; beside a treat, what can hold none, such as an id or a null, is not left over. If there is
// no treat at all, everything is, as one: either treats or left has an element.
func Decode(args []json.RawMessage) (treats []Treat, left []Leftover) {
	if len(args) == 1 { // as it nearly always is
		treats, err := decodeTreats(args[0])
		if err != nil {
			left = append(left, Leftover{args[0], err})
		}
		return treats, left
	}
	for _, arg := range args {
		found, err := decodeTreats(arg)
		treats = append(treats, found...)
		if err != nil {
			left = append(left, Leftover{arg, err})
		}
	}
	if len(treats) > 0 {
		return treats, slices.DeleteFunc(left, func(l Leftover) bool { return companion(l.Payload) })
	}
	if len(args) == 0 {
		return nil, []Leftover{{nil, fmt.Errorf("%w: no payload", ErrNotTreat)}}
	}
	var why reasons
	for _, l := range left {
		why.add(l.Why)
	}
	whole := append(append([]byte{'['}, bytes.Join(rawBytes(args), []byte{','})...), ']')
	return nil, []Leftover{{whole, why.join()}}
}

func rawBytes(args []json.RawMessage) [][]byte {
	all := make([][]byte, len(args))
	for i, arg := range args {
		all[i] = arg
	}
	return all
}

// companion reports whether an argument can hold no treat: an id, a null, a flag, or nothing at all.
func companion(arg json.RawMessage) bool {
	arg = bytes.TrimSpace(arg)
	if len(arg) == 0 {
		return true
	}
	switch arg[0] {
	case '{', '[':
		return len(bytes.TrimSpace(arg[1:len(arg)-1])) == 0
	case '"':
		return !looksJSON(jsonscan.Unquote(arg))
	}
	return true
}

// reasons are why the parts of a payload cannot be read, each once, and only the first few.
type reasons []error

func (r *reasons) add(err error) {
	const most = 4
	if len(*r) < most && !slices.ContainsFunc(*r, func(e error) bool { return e.Error() == err.Error() }) {
		*r = append(*r, err)
	}
}

func (r *reasons) join() error { return errors.Join(*r...) }

// decodeMember reads an object: it is a treat, or it wraps some. What has neither a sender nor a date is taken for the
// wrapper of a member that has: "title" and "message" are words that wrappers have too.
func decodeMember(payload json.RawMessage, depth int) ([]Treat, error) {
	all := make([]Treat, 1)
	err := decodeObject(payload, &all[0])
	if err == nil && all[0].identified() {
		return all, nil
	}
	inner, innerErr := unwrap(payload, depth, err != nil)
	switch {
	case err == nil && !slices.ContainsFunc(inner, func(t Treat) bool { return t.identified() }):
		return all, nil
	case len(inner) == 0:
		return nil, err
	}
	return inner, innerErr
}

// identified reports whether a treat says who sent it or when.
func (t *Treat) identified() bool { return t.fields[0] != nil || t.fields[6] != nil }

// unwrap reads the treats in the members of an object, which may also be a Buffer of Node as JSON. The error is about the
// members that hold a treat beside something else. Texts are read only if asked for: those of a treat are its viewers'.
func unwrap(payload json.RawMessage, depth int, texts bool) (all []Treat, err error) {
	var buffer struct {
		Type string  `json:"type"`
		Data []int16 `json:"data"`
	}
	if json.Unmarshal(payload, &buffer) == nil && buffer.Type == "Buffer" {
		text := make([]byte, len(buffer.Data))
		for i, b := range buffer.Data {
			text[i] = byte(b) //nolint:gosec // what is no byte is no JSON either, or a wrong letter
		}
		return decodeText(string(text), depth)
	}
	var why reasons
	jsonscan.Members(payload, func(_, value []byte) {
		if first := value[0]; first == '{' || first == '[' || first == '"' && texts {
			found, err := decodeNested(value, depth+1)
			if len(found) > 0 && err != nil {
				why.add(err)
			}
			all = append(all, found...)
		}
	})
	return all, why.join()
}

// decodeText reads what a text holds: JSON, or JSON in base64, as which the socket hands a Buffer over.
func decodeText(text string, depth int) ([]Treat, error) {
	if looksJSON(text) {
		return decodeNested(json.RawMessage(trimText(text)), depth+1)
	}
	if text = strings.TrimSpace(text); len(text) >= 4 && len(text)%4 == 0 {
		if inner, err := base64.StdEncoding.DecodeString(text); err == nil && looksJSON(string(inner)) {
			return decodeNested(json.RawMessage(trimText(string(inner))), depth+1)
		}
	}
	return nil, fmt.Errorf("%w: a plain string", ErrNotTreat)
}

// looksJSON reports whether a text begins as a JSON object, array, or text of such.
func looksJSON(text string) bool {
	text = trimText(text)
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"{`) || strings.HasPrefix(text, `"[`)
}

// trimText takes off white space and a byte order mark.
func trimText(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
}
