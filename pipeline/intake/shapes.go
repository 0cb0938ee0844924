package intake

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// maxKeyed is how deep lists are nested that are keyed by parts of a date, such as year, month and day.
const maxKeyed = 4

// keyed reads the next value, whose key is an id or a day: it is a treat, or a list of treats. list is the number of the list that its object is,
// 0 as long as it is none.
func (rr *replyReader) keyed(list *int) error {
	rr.meter.left = maxItem
	var value json.RawMessage
	if err := rr.dec.Decode(&value); err != nil {
		return err
	}
	rr.meter.left = maxItem
	return rr.keyedValue(value, list, rr.dec.InputOffset()-int64(len(value)), 0)
}

// keyedValue takes a value that begins at a place of the page.
func (rr *replyReader) keyedValue(value json.RawMessage, list *int, at int64, depth int) (err error) {
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
			from := end + bytes.Index(value[end:], element) // only a comma and blanks are between
			end = from + len(element)
			if err == nil {
				err = rr.item(element, *list, at+int64(from), int32(len(element))) //nolint:gosec // at most maxItem
			}
		})
	case '{':
		if treats, _ := decodeItem(value); len(treats) > 0 {
			begin()
			return rr.item(value, *list, at, int32(len(value))) //nolint:gosec // at most maxItem
		}
		end := 0
		jsonscan.Members(value, func(key, part []byte) {
			end += bytes.Index(value[end:], key) + len(key)
			from := end + bytes.Index(value[end:], part) // only a colon and blanks are between
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

// decodeItem reads the treats of an item of a list, as [decodeTreats] does. A treat may also stand under a key of an object, whose own fields are then
// those that it lacks. Of several it cannot be told whose they are: then the object counts for itself.
func decodeItem(item json.RawMessage) ([]treat, error) {
	if len(item) == 0 || item[0] != '{' {
		return decodeTreats(item)
	}
	outer := make([]treat, 1)
	err := decodeObject(item, &outer[0])
	if err != nil {
		outer = nil
	} else if said := outer[0].fields[4] != nil || outer[0].fields[5] != nil; said && outer[0].identified() {
		return outer, nil
	} else if said {
		return decodeTreats(item)
	}
	var inner []treat
	jsonscan.Members(item, func(_, value []byte) {
		if value[0] == '{' {
			found, _ := decodeTreats(value)
			inner = append(inner, found...)
		}
	})
	switch {
	case len(inner) == 0:
		return decodeTreats(item)
	case len(inner) > 1:
		return outer, err
	case len(outer) > 0:
		fill(&inner[0], &outer[0])
	default:
		var around treat
		_ = decodeFields(item, &around) // it is an object, by what was found in it
		fill(&inner[0], &around)
	}
	return inner, nil
}

// fill gives a treat the fields that it lacks.
func fill(t, from *treat) {
	for i := range t.fields {
		if t.fields[i] == nil {
			t.fields[i] = from.fields[i]
		}
	}
}
