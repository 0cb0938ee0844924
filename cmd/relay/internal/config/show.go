package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// masked replaces a secret.
const masked = "***"

// Effective reads and checks a configuration file. It returns the keys with defaults filled in, absolute paths and masked secrets, and the
// warnings about the file.
func Effective(path string, getenv func(string) (string, bool)) (yaml.MapSlice, Faults, error) {
	text, mode, err := readFile(path)
	if err != nil {
		return nil, nil, Faults{{File: path, Message: err.Error()}}
	}
	d := newDecoder(path, getenv)
	c, err := d.decode(text, mode)
	if err != nil {
		return nil, nil, err
	}
	accounts, destinations := yaml.MapSlice{}, yaml.MapSlice{}
	for _, a := range c.Accounts {
		at := join("accounts", a.Account)
		written := d.written.accounts[at]
		written.Config.Provider = a.Provider
		written.Config = written.Effective()
		keys := slices.DeleteFunc(keysOf(reflect.ValueOf(written)), func(k key) bool { return !k.appliesTo(a.Provider) })
		accounts = append(accounts, yaml.MapItem{Key: a.Account, Value: d.shownKeys(at, keys)})
	}
	for _, s := range c.Sinks {
		at := join("sinks", s.Name)
		keys := slices.Concat(keysOf(reflect.ValueOf(d.written.sinks[at])), keysOf(reflect.ValueOf(s.Config).Elem()))
		destinations = append(destinations, yaml.MapItem{Key: s.Name, Value: d.shownKeys(at, keys)})
	}
	shown := yaml.MapSlice{{Key: "accounts", Value: accounts}, {Key: "sinks", Value: destinations}}
	if len(c.Overlays) > 0 {
		shown = append(shown, yaml.MapItem{Key: "overlays", Value: d.shownValue("overlays", reflect.ValueOf(c.Overlays), "")})
	}
	settings := c.Settings
	settings.Journal = d.written.journal
	return append(shown, d.shownKeys("", keysOf(reflect.ValueOf(settings)))...), c.Warnings, nil
}

// Text returns the result of [Effective] as YAML.
func Text(shown yaml.MapSlice) (string, error) {
	text, err := yaml.MarshalWithOptions(shown, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	return string(text), err
}

// shownKeys returns the keys of the section at a path that have a value.
func (d *decoder) shownKeys(path string, keys []key) yaml.MapSlice {
	shown := yaml.MapSlice{}
	for _, k := range keys {
		if value := d.shownValue(join(path, k.name), k.value, k.tag); value != nil {
			shown = append(shown, yaml.MapItem{Key: k.name, Value: value})
		}
	}
	return shown
}

// shownValue returns the value of the key at a path as it is written in a configuration, or nil if there is none.
func (d *decoder) shownValue(path string, v reflect.Value, tag reflect.StructTag) any {
	switch {
	case isSection(v.Type()):
		if keys := d.shownKeys(path, keysOf(v)); len(keys) > 0 {
			return keys
		}
		return nil
	case v.Kind() == reflect.Slice && v.Len() > 0:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = d.shownValue(fmt.Sprintf("%s[%d]", path, i), v.Index(i), tag)
		}
		return list
	case v.Kind() == reflect.Map && v.Len() > 0:
		keys := yaml.MapSlice{}
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }) {
			keys = append(keys, yaml.MapItem{Key: key.String(), Value: d.shownValue(join(path, key.String()), v.MapIndex(key), tag)})
		}
		return keys
	case v.Kind() == reflect.Slice || v.Kind() == reflect.Map:
		return nil
	case isSecret(v):
		if v.IsZero() {
			return nil
		}
		return masked
	case v.Kind() == reflect.String:
		return d.shownText(path, v.String())
	}
	return writtenValue(v, tag)
}

// shownText returns a text as it is written in a configuration. A text that came from a variable may be a secret: the variable is shown.
func (d *decoder) shownText(path, text string) any {
	if text == "" {
		return nil
	}
	if strings.HasSuffix(path, "_file") {
		if absolute, err := filepath.Abs(text); err == nil {
			return absolute
		}
		return text
	}
	if raw, ok := d.expanded[path]; ok {
		return raw
	}
	return strings.ReplaceAll(text, "${", "$${")
}

// writtenValue returns a value that is not a text as it is written in a configuration, or nil for one that is not set.
func writtenValue(v reflect.Value, tag reflect.StructTag) any {
	switch value := v.Interface().(type) {
	case bool:
		return value
	case int:
		if value == 0 && tag.Get("min") != "0" {
			return nil
		}
		return value
	case time.Duration:
		if value == 0 && tag.Get("off") != "" {
			return "off"
		}
		return WrittenDuration(value)
	case fmt.Stringer: // A time zone, a rate, or a word.
		if text := value.String(); text != "" {
			return native(text)
		}
		return nil
	}
	panic(fmt.Sprintf("a configuration has a key of type %v, which cannot be shown", v.Type()))
}

// native returns a word as YAML reads it: true, false, a number or a text.
func native(word string) any {
	if n, err := strconv.Atoi(word); err == nil {
		return n
	}
	if word == "true" || word == "false" {
		return word == "true"
	}
	return word
}

// WrittenDuration formats a duration without zero minutes and seconds, as in 72h.
func WrittenDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Plain converts the result of [Effective] for JSON, which has no order of keys.
func Plain(value any) any {
	switch v := value.(type) {
	case yaml.MapSlice:
		keys := make(map[string]any, len(v))
		for _, item := range v {
			keys[fmt.Sprint(item.Key)] = Plain(item.Value)
		}
		return keys
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = Plain(v[i])
		}
		return list
	}
	return value
}
