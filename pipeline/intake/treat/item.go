package treat

import (
	"encoding/json"

	"github.com/treatrelay/relay/internal/jsonscan"
)

// DecodeItem reads the treats of an item of a list, as [Decode] does those of an argument. A treat may also stand under a key of an object, whose own
// fields are then those that it lacks. Of several it cannot be told whose they are: then the object counts for itself. Everything that can be read is
// returned, and an [ErrNotTreat], or several, joined, of what cannot be.
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
		_ = decodeFields(item, &around) // it is an object, by what was found in it
		fill(&inner[0], &around)
	}
	return inner, nil
}

// fill gives a treat the fields that it lacks.
func fill(t, from *Treat) {
	for i := range t.fields {
		if t.fields[i] == nil {
			t.fields[i] = from.fields[i]
		}
	}
}
