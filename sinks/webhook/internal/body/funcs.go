package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// raw is a text that is not encoded; jsonText is one that is already a JSON value.
type (
	raw      string
	jsonText string
)

// templateFuncs returns the functions of templates, in addition to those of text/template. Each takes the value last,
// for pipes.
func templateFuncs() template.FuncMap {
	return template.FuncMap{
		"default": func(instead, value any) any {
			if value == nil || value == "" {
				return instead
			}
			return value
		},
		"json":     func(value any) (jsonText, error) { text, err := toJSON(value); return jsonText(text), err },
		"raw":      func(value any) (raw, error) { text, err := toText(value); return raw(text), err },
		"upper":    func(value any) (string, error) { text, err := toText(value); return strings.ToUpper(text), err },
		"lower":    func(value any) (string, error) { text, err := toText(value); return strings.ToLower(text), err },
		"truncate": truncate,
		"date":     formatDate,

		"_text": toText,
		"_query": func(value any) (string, error) {
			text, err := toText(value)
			if _, ok := value.(raw); ok {
				return text, err
			}
			return url.QueryEscape(text), err
		},
		"_inside": func(value any) (string, error) {
			text, err := toText(value)
			if _, ok := value.(raw); ok || err != nil {
				return text, err
			}
			text, err = toJSON(text)
			return strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`), err
		},
		"_value": toJSON,
	}
}

// toText formats a value as text: nothing for null, a string unchanged, anything else as JSON.
func toText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return toJSON(value)
}

func toJSON(value any) (string, error) {
	switch v := value.(type) {
	case raw:
		return string(v), nil
	case jsonText:
		return string(v), nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// truncate returns the first characters of a text; if it is longer, the last of them is an ellipsis.
func truncate(most int, value any) (string, error) {
	text, err := toText(value)
	if err != nil || utf8.RuneCountInString(text) <= most {
		return text, err
	}
	if most < 1 {
		return "", nil
	}
	return string([]rune(text)[:most-1]) + "…", nil
}

// formatDate formats a time of an event with a layout of package time, or as "unix" seconds. The zone is optional; the
// default is UTC.
func formatDate(layout string, zoneAndTime ...any) (string, error) {
	if len(zoneAndTime) < 1 || len(zoneAndTime) > 2 {
		return "", errors.New(`date wants a layout, perhaps a zone, and a time, as in date "15:04" "Europe/Berlin" .time`)
	}
	text, err := toText(zoneAndTime[len(zoneAndTime)-1])
	if err != nil {
		return "", err
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return "", fmt.Errorf("%.40q is not a time such as .time or .recordedtime", text)
	}
	location := time.UTC
	if len(zoneAndTime) == 2 {
		name, _ := zoneAndTime[0].(string)
		if location, err = time.LoadLocation(name); err != nil || name == "" || name == "Local" {
			return "", fmt.Errorf("%.40q is not a time zone such as Europe/Berlin", name)
		}
	}
	if layout == "unix" {
		return strconv.FormatInt(at.Unix(), 10), nil
	}
	return at.In(location).Format(layout), nil
}
