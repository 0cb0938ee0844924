// Package treat decodes the treats of a provider's payload in any of its forms. It tolerates unknown keys, other types
// and wrappers, and reports everything that may have been meant as a treat. Start reading at [Decode].
package treat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/jsonscan"
	"github.com/treatrelay/relay/pipeline"
)

// fieldNames are the seven canonical fields of a treat, in the order of its identity.
func fieldNames() [7]string {
	return [7]string{"sender", "sender_type", "receiver", "receiver_type", "title", "message", "date_created"}
}

// A Treat is a decoded object of the provider. A field is nil if it is absent or null.
type Treat struct {
	// Raw is the provider's object, a part of the payload. It is nil for a treat made by [New].
	Raw json.RawMessage
	// Ignored holds the names of fields whose value cannot be a text. These fields are nil.
	Ignored []string

	fields [7]*string
}

// New returns a treat with these texts, as the provider would send it.
func New(sender, title, message, date string) Treat {
	return Treat{fields: [7]*string{0: &sender, 4: &title, 5: &message, dateField: &date}}
}

// Data returns the treat's normalized content, without account and provider. A sender of white space only counts as
// none: the treat is anonymous.
func (t *Treat) Data() pipeline.Data {
	d := pipeline.Data{
		Sender: t.fields[0], SenderType: t.fields[1], Receiver: t.fields[2], ReceiverType: t.fields[3],
		Title: t.fields[4], Message: t.fields[5], DateCreated: t.fields[6],
	}
	if d.Sender == nil || strings.TrimSpace(*d.Sender) == "" {
		d.Sender, d.Anonymous = nil, true
	}
	return d
}

// maxNesting bounds how deep a treat may be wrapped in arrays and strings.
const maxNesting = 4

// ErrNotTreat means that a payload cannot be a treat. Errors that wrap it never quote the payload.
var ErrNotTreat = errors.New("not a treat")

// decodeTreats decodes the treats of one payload. It is tolerant: a known field may be missing, null, a number or a
// boolean instead of a string; there may be unknown keys; and the object may be wrapped in arrays and other objects, or
// be encoded as a JSON string or a Buffer. It returns everything that is readable, and the joined errors for the rest.
func decodeTreats(payload json.RawMessage) ([]Treat, error) {
	return decodeNested(payload, 0)
}

func decodeNested(payload json.RawMessage, depth int) ([]Treat, error) {
	payload = bytes.TrimSpace(payload)
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: wrapped more than %d times", ErrNotTreat, maxNesting)
	}
	if len(payload) == 0 {
		return nil, fmt.Errorf("%w: no payload", ErrNotTreat)
	}
	switch payload[0] {
	case '{':
		return decodeMember(payload, depth)
	case '[':
		return decodeArray(payload, depth)
	case '"':
		var text string
		if err := json.Unmarshal(payload, &text); err != nil {
			return nil, fmt.Errorf("%w: an invalid JSON string", ErrNotTreat)
		}
		return decodeText(text, depth)
	default:
		return nil, fmt.Errorf("%w: %s instead of an object", ErrNotTreat, jsonKind(payload))
	}
}

func decodeArray(payload json.RawMessage, depth int) ([]Treat, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(payload, &items); err != nil {
		return nil, fmt.Errorf("%w: invalid JSON array", ErrNotTreat)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: an empty array", ErrNotTreat)
	}
	var all []Treat
	var why reasons
	for _, item := range items {
		ts, err := decodeNested(item, depth+1)
		all = append(all, ts...)
		if err != nil {
			why.add(err)
		}
	}
	return all, why.join()
}

func decodeObject(payload json.RawMessage, t *Treat) error {
	if err := decodeFields(payload, t); err != nil {
		return err
	}
	for _, i := range []int{0, 4, 5} { // sender, title, message: without all of them there is nothing to announce
		if f := t.fields[i]; f != nil && strings.TrimSpace(*f) != "" {
			return nil
		}
	}
	*t = Treat{}
	return fmt.Errorf("%w: no usable sender, title or message in it", ErrNotTreat)
}

// decodeFields decodes the fields of an object.
func decodeFields(payload json.RawMessage, t *Treat) error {
	names := fieldNames()
	var values [len(names)][]byte // of several with the same name, the last one
	if !jsonscan.Members(payload, func(key, value []byte) {
		for i := range names {
			if len(key)-2 == len(names[i]) && string(key[1:len(key)-1]) == names[i] || bytes.IndexByte(key, '\\') >= 0 && jsonscan.IsText(key, names[i]) {
				values[i] = value
			}
		}
	}) {
		return fmt.Errorf("%w: invalid JSON object", ErrNotTreat)
	}
	t.Raw = payload
	for i, value := range values {
		if i == dateField && len(value) > 0 && value[0] == '{' {
			if value = dateText(value); value != nil {
				values[i] = value
				continue
			}
		}
		if value := values[i]; len(value) > 0 && (value[0] == '{' || value[0] == '[') {
			t.Ignored = append(t.Ignored, names[i])
		}
	}
	t.setFields(&values)
	return nil
}

// dateField is the index of date_created among the fields.
const dateField = 6

// dateText converts the PHP encoding of a date, an object of date, zone type and zone, to a JSON string of date and
// zone. It returns nil for other objects.
func dateText(object []byte) []byte {
	var php struct {
		Date string `json:"date"`
		Zone string `json:"timezone"`
	}
	if json.Unmarshal(object, &php) != nil || php.Date == "" {
		return nil
	}
	text, _ := pipeline.EncodeJSON(strings.TrimSpace(php.Date + " " + php.Zone)) // encoding a string never fails
	return text
}

// setFields converts scanned JSON values to strings that share one allocation. A number keeps its digits; null, an
// object and an array become nil.
func (t *Treat) setFields(values *[7][]byte) {
	var room [512]byte
	all := room[:0]
	var ends [len(values)]int
	for i, value := range values {
		if len(value) > 0 {
			switch value[0] {
			case 'n', '{', '[':
				values[i] = nil
			case '"':
				if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
					all = append(all, inner...)
				} else {
					all = append(all, strings.ToValidUTF8(jsonscan.Unquote(value), string(utf8.RuneError))...)
				}
			default:
				all = append(all, value...)
			}
		}
		ends[i] = len(all)
	}
	text, from := string(all), 0
	texts := new([len(values)]string)
	for i, end := range ends {
		if values[i] != nil {
			texts[i] = text[from:end]
			t.fields[i] = &texts[i]
		}
		from = end
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
