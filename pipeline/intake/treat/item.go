package treat

import (
	"encoding/json"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// DecodeItem reads the treats of a list item like [Decode]. A treat may also be the value of a key of an object; then
// it inherits the object's fields that it lacks. If an object has several treats, it is unclear whose fields they are,
// so the object counts as a treat of its own. It returns everything that is readable, and [ErrNotTreat] errors, joined,
// for the rest.
func DecodeItem(item json.RawMessage) ([]Treat, error) {
	if len(item) == 0 || item[0] != '{' {
		return decodeTreats(item)
	}
	outer := make([]Treat, 1)
	err := decodeObject(item, &outer[0])
	if err != nil {
		outer = nil
	} else if said := outer[0].fields[4] != nil || outer[0].fields[5] != nil; said && outer[0].identified() {
		return outer, nil
	} else if said {
		return decodeTreats(item)
	}
	var inner []Treat
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
		var around Treat
		_ = decodeFields(item, &around) // an object, as was found above
		fill(&inner[0], &around)
	}
	return inner, nil
}

// fill sets the fields that a treat lacks.
func fill(t, from *Treat) {
	for i := range t.fields {
		if t.fields[i] == nil {
			t.fields[i] = from.fields[i]
		}
	}
}
