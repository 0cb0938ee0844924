package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// fieldNames are the seven canonical fields of a treat, in the order in which they enter its identity.
func fieldNames() [7]string {
	return [7]string{"sender", "sender_type", "receiver", "receiver_type", "title", "message", "date_created"}
}

// A treat is what one object of the provider says: its seven fields, each nil when absent or null.
type treat struct {
	fields  [7]*string
	raw     json.RawMessage
	ignored []string // fields whose value could not be a text
}

// maxNesting bounds how deep a treat may be wrapped in arrays and strings.
const maxNesting = 4

// errNotTreat is why a payload cannot be a treat; the text after it never quotes the payload.
var errNotTreat = errors.New("not a treat")

// decodeTreats reads the treats of one payload tolerantly: a known field may be missing, null, a number or a boolean where
// a text is expected, unknown keys may stand beside it, and the object may be wrapped in arrays or be encoded once more as a
// JSON string. Everything that can be read is returned, and the joined errors of what cannot be.
func decodeTreats(payload json.RawMessage) ([]treat, error) {
	return decodeNested(payload, 0)
}

func decodeNested(payload json.RawMessage, depth int) ([]treat, error) {
	payload = bytes.TrimSpace(payload)
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: wrapped more than %d times", errNotTreat, maxNesting)
	}
	if len(payload) == 0 {
		return nil, fmt.Errorf("%w: no payload", errNotTreat)
	}
	switch payload[0] {
	case '{':
		t, err := decodeObject(payload)
		if err != nil {
			return nil, err
		}
		return []treat{t}, nil
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(payload, &items); err != nil {
			return nil, fmt.Errorf("%w: invalid JSON array", errNotTreat)
		}
		if len(items) == 0 {
			return nil, fmt.Errorf("%w: an empty array", errNotTreat)
		}
		var all []treat
		var errs []error
		for _, item := range items {
			ts, err := decodeNested(item, depth+1)
			all = append(all, ts...)
			if err != nil {
				errs = append(errs, err)
			}
		}
		return all, errors.Join(errs...)
	case '"':
		var text string
		if err := json.Unmarshal(payload, &text); err != nil {
			return nil, fmt.Errorf("%w: an invalid JSON string", errNotTreat)
		}
		if inner := strings.TrimSpace(text); strings.HasPrefix(inner, "{") || strings.HasPrefix(inner, "[") {
			return decodeNested(json.RawMessage(inner), depth+1)
		}
		return nil, fmt.Errorf("%w: a plain string", errNotTreat)
	default:
		return nil, fmt.Errorf("%w: %s instead of an object", errNotTreat, jsonKind(payload))
	}
}

func decodeObject(payload json.RawMessage) (treat, error) {
	t := treat{raw: payload}
	names := fieldNames()
	var values [len(names)][]byte // the last one of each name, if there are several
	if !jsonscan.Members(payload, func(key, value []byte) {
		for i := range names {
			if jsonscan.IsText(key, names[i]) {
				values[i] = value
			}
		}
	}) {
		return treat{}, fmt.Errorf("%w: invalid JSON object", errNotTreat)
	}
	for i, value := range values {
		if value == nil {
			continue
		}
		text, ok := scalar(value)
		if !ok {
			t.ignored = append(t.ignored, names[i])
		}
		t.fields[i] = text
	}
	for _, i := range []int{0, 4, 5} { // sender, title, message: without any of them there is nothing to announce
		if f := t.fields[i]; f != nil && strings.TrimSpace(*f) != "" {
			return t, nil
		}
	}
	return treat{}, fmt.Errorf("%w: no usable sender, title or message in it", errNotTreat)
}

// scalar returns the text of a scanned JSON scalar, nil for null, and false for an object or an array.
func scalar(value json.RawMessage) (*string, bool) {
	if len(value) == 0 {
		return nil, false
	}
	switch value[0] {
	case 'n':
		return nil, true
	case '{', '[':
		return nil, false
	case '"':
		s := strings.ToValidUTF8(jsonscan.Unquote(value), string(utf8.RuneError))
		return &s, true
	default: // a number keeps the digits it was sent with
		s := string(value)
		return &s, true
	}
}

func jsonKind(value json.RawMessage) string {
	switch value[0] {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return "a number"
	default:
		return "no JSON"
	}
}
