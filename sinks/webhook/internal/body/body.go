package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"unicode/utf8"
)

// Limits of the output of a template.
const (
	maxBody       = 1 << 20
	maxBodyWrites = 100_000 // texts, values and loop iterations
)

// Template renders the body of a request from an event. It is safe for concurrent use.
type Template struct {
	template *template.Template
	json     bool
}

// Parse parses a template whose output has this media type, and tries it on sample events. Values are encoded for the
// type. Its errors begin with line and column.
func Parse(text string, mediaType string) (*Template, error) {
	kind := encodingOf(mediaType)
	t, err := template.New("body").Option("missingkey=error").Funcs(templateFuncs()).Parse(text)
	if err != nil {
		return nil, syntaxError(text, err)
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("1:1: define and block are not supported")
	}
	w := &rewriter{tree: t.Tree, kind: kind}
	end, err := w.list(t.Root, outside, nil)
	if err == nil && end != outside {
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		last := utf8.RuneCountInString(lines[len(lines)-1])
		err = fmt.Errorf("%d:%d: the JSON ends within a string: a quote is missing", len(lines), last+1)
	}
	if err != nil {
		return nil, err
	}
	b := &Template{template: t, json: kind == encodeJSON}
	for _, s := range samples() {
		line, err := s.event.Line()
		if err != nil {
			return nil, err
		}
		if _, err := b.Make(line); err != nil {
			return nil, fmt.Errorf("%w (tried with %s)", err, s.what)
		}
	}
	return b, nil
}

// Make renders the body for an event, given as its line.
func (t *Template) Make(line []byte) ([]byte, error) {
	var event map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber() // keeps numbers as they are
	if err := decoder.Decode(&event); err != nil {
		return nil, fmt.Errorf("decode the event: %w", err)
	}
	var out boundedBuffer
	if err := t.template.Execute(&out, event); err != nil {
		return nil, execError(err)
	}
	if t.json {
		var value json.RawMessage // its error quotes one character, not the text of a viewer
		if err := json.Unmarshal(out.Bytes(), &value); err != nil {
			return nil, fmt.Errorf("what it makes is not JSON: %w", err)
		}
	}
	return out.Bytes(), nil
}

// boundedBuffer limits the output. Each iteration of a loop writes, even if nothing, so it also ends endless loops.
type boundedBuffer struct {
	bytes.Buffer
	writes int
}

// Write implements [io.Writer].
func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.writes++
	switch {
	case b.writes > maxBodyWrites:
		return 0, fmt.Errorf("makes more than %d pieces: a loop in it is too long", maxBodyWrites)
	case b.Len()+len(p) > maxBody:
		return 0, fmt.Errorf("makes more than %d MiB", maxBody>>20)
	}
	return b.Buffer.Write(p)
}
