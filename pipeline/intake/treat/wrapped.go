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

// A Leftover is an unreadable part of a payload that may have been meant as a treat.
type Leftover struct {
	Payload json.RawMessage
	Why     error // [ErrNotTreat] errors, joined
}

// Decode decodes the treats of all arguments of an event, in order. It is tolerant: a known field may be missing, null,
// a number or a boolean instead of a string; there may be unknown keys; and the object may be wrapped in arrays and
// other objects, or be encoded as a JSON string or a Buffer.
//
// left holds the arguments that are something else. If there are treats, it omits arguments that cannot be one, such as
// an id or null. If there are none, all arguments are left as one. So treats or left is never empty.
func Decode(args []json.RawMessage) (treats []Treat, left []Leftover) {
	if len(args) == 1 { // the usual case
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

// companion reports whether an argument cannot be a treat: an id, null, a flag, or nothing.
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

// reasons joins the errors of unreadable parts, without repeats, and only the first few.
type reasons []error

func (r *reasons) add(err error) {
	const most = 4
	if len(*r) < most && !slices.ContainsFunc(*r, func(e error) bool { return e.Error() == err.Error() }) {
		*r = append(*r, err)
	}
}

func (r *reasons) join() error { return errors.Join(*r...) }

// decodeMember decodes an object: a treat, or a wrapper of treats. An object without a sender and a date counts as the
// wrapper of a member that has them, since wrappers use words like "title" and "message" too. If it has no title
// either, the member may be a string, as in {"type":"treat","message":"{...}"}.
func decodeMember(payload json.RawMessage, depth int) ([]Treat, error) {
	all := make([]Treat, 1)
	err := decodeObject(payload, &all[0])
	if err == nil && all[0].identified() {
		return all, nil
	}
	const title = 4 // of fieldNames
	inner, innerErr := unwrap(payload, depth, err != nil || all[0].fields[title] == nil)
	switch {
	case err == nil && !slices.ContainsFunc(inner, func(t Treat) bool { return t.identified() }):
		return all, nil
	case len(inner) == 0:
		return nil, err
	}
	return inner, innerErr
}

// identified reports whether a treat has a sender or a date.
func (t *Treat) identified() bool { return t.fields[0] != nil || t.fields[6] != nil }

// unwrap decodes the treats in the members of an object, which may also be a Buffer of Node encoded as JSON. The error
// concerns members that hold something else. It reads strings only on request, since those of a treat come from
// viewers.
func unwrap(payload json.RawMessage, depth int, texts bool) (all []Treat, err error) {
	var buffer struct {
		Type string  `json:"type"`
		Data []int16 `json:"data"`
	}
	if json.Unmarshal(payload, &buffer) == nil && buffer.Type == "Buffer" {
		text := make([]byte, len(buffer.Data))
		for i, b := range buffer.Data {
			text[i] = byte(b) //nolint:gosec // other values yield invalid JSON or a wrong letter
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

// decodeText decodes a string that holds JSON, or JSON in base64, as the socket encodes a Buffer.
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

// looksJSON reports whether a text starts like a JSON object, array, or string of such.
func looksJSON(text string) bool {
	text = trimText(text)
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"{`) || strings.HasPrefix(text, `"[`)
}

// trimText removes white space and a byte order mark.
func trimText(text string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
}
