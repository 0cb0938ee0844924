package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/secret"
)

// A key is one key of a section: a field of the section's type with a yaml tag. That field is the only place that defines the key. The decoder,
// config show, the tables in docs/config.md and the JSON Schema follow from its type, its doc comment and its tags:
//
//	yaml      the name; ",inline" puts the keys of a struct among those of its section
//	value     the kind of text, such as "media type", with code in single quotes; if it contains "URL", the decoder trims the text and checks it
//	min, max  the range of a duration or a number
//	off       "0": the word off means zero
//	for       the accounts that the key is for, see appliesTo
//
// The first paragraph of the doc comment tells users what the key means. A paragraph that begins with "Default:" or "Required" describes the
// default, if the section's defaults do not contain it. Other paragraphs are for programmers.
type key struct {
	name  string
	tag   reflect.StructTag
	owner reflect.Type // the struct that declares the field
	field string       // the name of the field
	value reflect.Value
}

// keysOf returns the keys of a section in the order of its type, but KEY_file right after KEY.
func keysOf(section reflect.Value) []key {
	return appendKeys(make([]key, 0, 32), section)
}

func appendKeys(keys []key, section reflect.Value) []key {
	owner := section.Type()
	for field, value := range section.Fields() {
		switch name := field.Tag.Get("yaml"); name {
		case "":
		case ",inline":
			keys = appendKeys(keys, value)
		default:
			at := len(keys)
			if of, ok := strings.CutSuffix(name, "_file"); ok {
				if i := slices.IndexFunc(keys, func(k key) bool { return k.name == of }); i >= 0 {
					at = i + 1
				}
			}
			keys = slices.Insert(keys, at, key{name, field.Tag, owner, field.Name, value})
		}
	}
	return keys
}

// keysByName maps the keys of sections to their names.
func keysByName(sections ...reflect.Value) map[string]key {
	keys := make(map[string]key, 32)
	for _, section := range sections {
		for _, k := range keysOf(section) {
			keys[k.name] = k
		}
	}
	return keys
}

// isPath reports whether the value of a key is the path of a file.
func (k key) isPath() bool {
	return strings.HasSuffix(k.name, "_file") && k.value.Kind() == reflect.String
}

// isURL reports whether a key with these tags holds URLs.
func isURL(tag reflect.StructTag) bool { return strings.Contains(tag.Get("value"), "URL") }

// wordsOf returns the words that a type allows, which are all that its values can be. It returns nil for a type of another kind.
func wordsOf(t reflect.Type) []string {
	if w, ok := reflect.TypeAssert[interface{ Words() []string }](reflect.Zero(t)); ok {
		return w.Words()
	}
	return nil
}

// nounOf says what the words of a type are names of, such as provider. It is empty if they are no names.
func nounOf(t reflect.Type) string {
	if n, ok := reflect.TypeAssert[interface{ noun() string }](reflect.Zero(t)); ok {
		return n.noun()
	}
	return ""
}

// wanted says which values a key takes, for errors.
func wanted(t reflect.Type, tag reflect.StructTag) string {
	words := wordsOf(t)
	if nounOf(t) != "" {
		words = nil // There are many, and the error suggests one of them.
	}
	custom, isCustom := reflect.TypeAssert[interface{ wanted() string }](reflect.Zero(t))
	switch {
	case words != nil:
		return "want " + choice(words)
	case isCustom:
		return "want " + custom.wanted()
	case t == reflect.TypeFor[time.Duration]():
		return "want a duration such as 5s or 72h" + limits(tag, ", from ", ", at least ", "")
	case t == reflect.TypeFor[*time.Location]():
		return "want an IANA time zone such as Europe/Berlin"
	case t.Kind() == reflect.Slice:
		return "want a list such as [a, b]"
	case t.Kind() == reflect.Bool:
		return "want true or false"
	case t.Kind() == reflect.Int:
		return "want a whole number" + limits(tag, " from ", " of at least ", "")
	}
	return "want a text"
}

// choice joins words to "a, b or c".
func choice(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// limits describes the range of a key, each value between quotes. It is empty if there is none.
func limits(tag reflect.StructTag, from, atLeast, quote string) string {
	var text string
	low, high := tag.Get("min"), tag.Get("max")
	switch {
	case high != "":
		text = from + quote + low + quote + " to " + quote + high + quote
	case low != "":
		text = atLeast + quote + low + quote
	}
	if tag.Get("off") != "" {
		text += ", or " + quote + "off" + quote
	}
	return text
}

// inRange reports whether a value is in the range that the tags of its key allow.
func inRange[T time.Duration | int](value T, tag reflect.StructTag, parse func(string) (T, error)) bool {
	limit := func(name string, otherwise T) T {
		text := tag.Get(name)
		if text == "" {
			return otherwise
		}
		n, err := parse(text)
		if err != nil {
			panic(fmt.Sprintf("the tag %s of a key: %v", name, err))
		}
		return n
	}
	return value >= limit("min", value) && value <= limit("max", value)
}

// parseDuration reads the value of a key that is a duration.
func parseDuration(text string, tag reflect.StructTag) (time.Duration, error) {
	if off := tag.Get("off"); off != "" && (text == "off" || text == off) {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && !inRange(d, tag, time.ParseDuration) {
		err = strconv.ErrRange
	}
	return d, err
}

// parseNumber reads the value of a key that is a number.
func parseNumber(text string, tag reflect.StructTag) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && !inRange(n, tag, strconv.Atoi) {
		err = strconv.ErrRange
	}
	return n, err
}

// isSecret reports whether a value is a secret.
func isSecret(v reflect.Value) bool { return v.Type() == reflect.TypeFor[secret.String]() }
