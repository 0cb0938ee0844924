package history

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/treatrelay/relay/internal/jsonscan"
	"github.com/treatrelay/relay/pipeline/intake/treat"
)

// maxKeyed bounds the nesting of lists whose keys are parts of a date, such as year, month and day.
const maxKeyed = 4

// keyed reads the next value, whose key is an id or a day. It is a treat or a list of treats. list is the number of the
// list that the enclosing object forms, or 0 if it is none so far.
func (rr *reader) keyed(list *int) error {
	rr.meter.left = maxItem
	var value json.RawMessage
	if err := rr.dec.Decode(&value); err != nil {
		return err
	}
	rr.meter.left = maxItem
	return rr.keyedValue(value, list, rr.dec.InputOffset()-int64(len(value)), 0)
}

// keyedValue processes a value that starts at an offset of the page.
func (rr *reader) keyedValue(value json.RawMessage, list *int, at int64, depth int) (err error) {
	begin := func() {
		if *list == 0 {
			rr.shape.lists++
			*list = rr.shape.lists
		}
	}
	switch value[0] {
	case '[':
		begin()
		end := 0
		jsonscan.Elements(value, func(element []byte) {
			from := end + bytes.Index(value[end:], element) // only a comma and white space are between
			end = from + len(element)
			if err == nil {
				err = rr.item(element, *list, at+int64(from), int32(len(element))) //nolint:gosec // at most maxItem
			}
		})
	case '{':
		if treats, _ := treat.DecodeItem(value); len(treats) > 0 {
			begin()
			return rr.item(value, *list, at, int32(len(value))) //nolint:gosec // at most maxItem
		}
		end := 0
		jsonscan.Members(value, func(key, part []byte) {
			end += bytes.Index(value[end:], key) + len(key)
			from := end + bytes.Index(value[end:], part) // only a colon and white space are between
			end = from + len(part)
			switch nested := part[0] == '{' || part[0] == '['; {
			case err != nil:
			case nested && depth < maxKeyed && strings.ContainsAny(string(key), "0123456789"):
				err = rr.keyedValue(part, list, at+int64(from), depth+1)
			default:
				rr.shape.opaque = true
			}
		})
	}
	return err
}
