package reply

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/treatrelay/relay/internal/secret"
)

var errNoObject = errors.New("the answer is not a JSON object")

// noiseObjects is how many beginnings of an object are tried in a body that does not begin with one.
const noiseObjects = 64

// Object reads the JSON object in body, whatever its content type says: behind a byte order mark, in UTF-16, or between the
// notices and comments that servers put around it. Where there are several, it is the first that has the wanted key, and else
// the last. It is not the JSON within a web page, and no part of an object that is cut off. The error quotes nothing of the
// body, which may hold tokens.
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

// objectAt reads the object that text begins with, and tells its size.
func objectAt(text []byte) (fields map[string]json.RawMessage, size int64, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&fields); err != nil {
		return nil, 0, err
	}
	return fields, d.InputOffset(), nil
}

// isDocument reports whether body is made for a browser as a whole, which a notice of PHP is not, though it is written in HTML;
// or whether it is JSON of another kind.
func isDocument(body []byte) bool {
	if bytes.HasPrefix(body, []byte(`"`)) {
		return true
	}
	if rest, ok := bytes.CutPrefix(body, []byte("[")); ok { // A line of a log may begin with one as well.
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

// withoutComments leaves out the comments of HTML, which may hold any tag.
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
