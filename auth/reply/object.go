package reply

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/treatrelay/relay/internal/secret"
)

var errNoObject = errors.New("the answer is not a JSON object")

// noiseObjects is the maximum number of attempts to find an object in a body that does not begin with one.
const noiseObjects = 64

// Object decodes the JSON object in body, whatever its content type: after a byte order mark, in UTF-16, or between
// notices and comments that servers add. Of several objects it returns the first with a wanted key, else the last. It
// ignores JSON inside a web page, and parts of a truncated object. The error quotes no part of the body, which may have
// tokens.
func Object(body []byte, wanted ...string) (map[string]json.RawMessage, error) {
	if text, err := secret.Text(body); err == nil {
		body = []byte(text.Reveal())
	}
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("{")) {
		fields, _, err := objectAt(body)
		if err != nil {
			return nil, errNoObject
		}
		return fields, nil
	}
	if isDocument(body) {
		return nil, errNoObject
	}
	var last map[string]json.RawMessage
	for range noiseObjects {
		at := bytes.IndexByte(body, '{')
		if at < 0 {
			break
		}
		body = body[at:]
		fields, size, err := objectAt(body)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errNoObject
		case err != nil:
			size = 1
		default:
			last = fields
		}
		for _, key := range wanted {
			if _, ok := fields[key]; ok {
				return fields, nil
			}
		}
		body = body[size:]
	}
	if last == nil {
		return nil, errNoObject
	}
	return last, nil
}

// objectAt decodes the object at the beginning of text and returns its size.
func objectAt(text []byte) (fields map[string]json.RawMessage, size int64, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&fields); err != nil {
		return nil, 0, err
	}
	return fields, d.InputOffset(), nil
}

// isDocument reports whether body is a web page, or JSON other than an object. A PHP notice is no web page, although it
// is HTML.
func isDocument(body []byte) bool {
	if bytes.HasPrefix(body, []byte(`"`)) {
		return true
	}
	if rest, ok := bytes.CutPrefix(body, []byte("[")); ok { // a log line may begin with one too
		if rest = bytes.TrimSpace(rest); len(rest) == 0 || bytes.IndexByte([]byte(`{["]`), rest[0]) >= 0 || bytes.HasPrefix(rest, []byte("null")) {
			return true
		}
	}
	head := bytes.ToLower(withoutComments(body))
	for _, tag := range []string{"<!doctype", "<html", "<head", "<body", "<script", "<title", "<meta", "<form"} {
		if bytes.Contains(head, []byte(tag)) {
			return true
		}
	}
	return false
}

// withoutComments removes HTML comments, which may have any tag.
func withoutComments(body []byte) []byte {
	var rest []byte
	for {
		before, after, found := bytes.Cut(body, []byte("<!--"))
		rest = append(rest, before...)
		if !found {
			return rest
		}
		if _, body, found = bytes.Cut(after, []byte("-->")); !found {
			return append(rest, after...)
		}
	}
}
