package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EncodeJSON encodes v as JSON on one line, without escaping for HTML.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Line returns the event's JSON form without a line break. It does not escape <, > and &. Otherwise it equals the
// output of encoding/json, at less than half the cost.
func (e *Event) Line() ([]byte, error) {
	var err error
	b := make([]byte, 0, 512+2*(len(deref(e.Data.Message))+len(deref(e.Data.Title))))
	b = appendString(append(b, `{"specversion":`...), e.SpecVersion)
	b = appendString(append(b, `,"id":`...), e.ID)
	b = appendString(append(b, `,"source":`...), e.Source)
	b = appendString(append(b, `,"type":`...), e.Type)
	if b, err = appendTime(append(b, `,"time":`...), e.Time); err == nil {
		b, err = appendTime(append(b, `,"recordedtime":`...), e.RecordedTime)
	}
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	b = appendString(append(b, `,"datacontenttype":`...), e.DataContentType)
	b = appendString(append(b, `,"origin":`...), string(e.Origin))
	b = appendString(append(b, `,"data":{"account":`...), e.Data.Account)
	b = appendString(append(b, `,"provider":`...), e.Data.Provider)
	b = appendText(append(b, `,"sender":`...), e.Data.Sender)
	b = appendText(append(b, `,"sender_type":`...), e.Data.SenderType)
	b = appendText(append(b, `,"receiver":`...), e.Data.Receiver)
	b = appendText(append(b, `,"receiver_type":`...), e.Data.ReceiverType)
	b = appendText(append(b, `,"title":`...), e.Data.Title)
	b = appendText(append(b, `,"message":`...), e.Data.Message)
	b = strconv.AppendBool(append(b, `,"anonymous":`...), e.Data.Anonymous)
	b = appendText(append(b, `,"date_created":`...), e.Data.DateCreated)
	if len(e.Data.Raw) > 0 {
		raw, err := EncodeJSON(e.Data.Raw)
		if err != nil {
			return nil, fmt.Errorf("encode event %s: raw: %w", e.ID, err)
		}
		b = append(append(b, `,"raw":`...), raw...)
	}
	return append(b, "}}"...), nil
}

// OneLine returns the text of an error without line breaks.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func appendTime(b []byte, t time.Time) ([]byte, error) {
	if y := t.Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("year %d cannot be written (RFC 3339)", y)
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), nil
}

func appendText(b []byte, text *string) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	return appendString(b, *text)
}

// appendString appends a text as a JSON string. Invalid UTF-8 becomes U+FFFD. It escapes U+2028 and U+2029, which end a
// line in old JavaScript.
func appendString(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	done := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, text[done:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			done = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, text[done:i]...), `\ufffd`...)
			done = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, text[done:i]...), '\\', 'u', '2', '0', '2', hex[r&15])
			done = i + size
		}
		i += size
	}
	return append(append(b, text[done:]...), '"')
}
