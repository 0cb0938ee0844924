package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/treatrelay/relay/pipeline"
)

// Template is the text of a template (text/template) over the decoded event. It may have several lines.
type Template string

// The limits of what a template makes.
const (
	maxBody       = 1 << 20
	maxBodyWrites = 100_000 // texts, values and turns of loops
)

// bodyTemplate makes the body of a request from an event. Safe for use by several goroutines.
type bodyTemplate struct {
	template *template.Template
	json     bool
}

// parseBody reads a template whose output is of the media type, and tries it on samples of events. What it writes is
// encoded as the type wants it: see [encoding]. Its errors begin with line and column.
func parseBody(text Template, mediaType string) (*bodyTemplate, error) {
	kind := encodingOf(mediaType)
	t, err := template.New("body").Option("missingkey=error").Funcs(templateFuncs()).Parse(string(text))
	if err != nil {
		return nil, syntaxError(string(text), err)
	}
	if len(t.Templates()) > 1 || t.Tree == nil {
		return nil, errors.New("1:1: define and block are not supported")
	}
	w := &rewriter{tree: t.Tree, kind: kind}
	end, err := w.list(t.Root, outside, nil)
	if err == nil && end != outside {
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		last := utf8.RuneCountInString(lines[len(lines)-1])
		err = fmt.Errorf("%d:%d: the JSON ends within a string: a quote is missing", len(lines), last+1)
	}
	if err != nil {
		return nil, err
	}
	b := &bodyTemplate{template: t, json: kind == encodeJSON}
	for _, s := range samples() {
		line, err := s.event.Line()
		if err != nil {
			return nil, err
		}
		if _, err := b.body(line); err != nil {
			return nil, fmt.Errorf("%w (tried with %s)", err, s.what)
		}
	}
	return b, nil
}

// body makes the body for an event, given as its line.
func (b *bodyTemplate) body(line []byte) ([]byte, error) {
	var event map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber() // A number goes out as it came in.
	if err := decoder.Decode(&event); err != nil {
		return nil, fmt.Errorf("decode the event: %w", err)
	}
	var out boundedBuffer
	if err := b.template.Execute(&out, event); err != nil {
		return nil, execError(err)
	}
	if b.json {
		var value json.RawMessage // The error tells of one character, not of what viewers wrote.
		if err := json.Unmarshal(out.Bytes(), &value); err != nil {
			return nil, fmt.Errorf("what it makes is not JSON: %w", err)
		}
	}
	return out.Bytes(), nil
}

// boundedBuffer refuses what is too much. Each turn of a loop writes, if only nothing, so it also ends loops.
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

// sample is an event to try templates on.
type sample struct {
	what  string
	event pipeline.Event
}

func samples() []sample {
	at := time.Date(2026, 11, 21, 21, 40, 16, 765_000_000, time.UTC)
	text := func(s string) *string { return &s }
	full := pipeline.Event{
		SpecVersion: pipeline.SpecVersion, ID: "trt_06H003C601TTVEEHS54BW8N74C", Source: "/treatstream/mystream", Type: pipeline.EventType,
		Time: at.Truncate(time.Second), RecordedTime: at, DataContentType: pipeline.DataContentType, Origin: pipeline.OriginLive,
		Data: pipeline.Data{
			Account: "mystream", Provider: "treatstream", Sender: text(`Captain "Crumb" \o/`), SenderType: text("twitch"),
			Receiver: text("streamer"), ReceiverType: text("twitch"), Title: text("Fish 'n' chips"),
			Message: text("dinner\n& <b>served</b>"), DateCreated: text("2026-11-21 21:40:16"),
		},
	}
	test, anonymous, bare := full, full, full
	test.Origin = pipeline.OriginTest
	anonymous.Data.Sender, anonymous.Data.SenderType, anonymous.Data.Anonymous = nil, nil, true
	bare.Data = pipeline.Data{Account: "mystream", Provider: "treatstream", Anonymous: true}
	return []sample{
		{"a full event", full},
		{"a test event", test},
		{"an event without a sender", anonymous},
		{"an event whose texts are all null", bare},
	}
}

// execError makes an error of text/template begin with line and column, both from 1.
func execError(err error) error {
	if exec, ok := errors.AsType[template.ExecError](err); ok {
		err = exec.Err
	}
	rest, ok := strings.CutPrefix(err.Error(), "template: body:")
	parts := strings.SplitN(rest, ":", 3)
	if !ok || len(parts) < 3 {
		return err
	}
	column, notNumber := strconv.Atoi(parts[1])
	if notNumber != nil {
		return err
	}
	what := strings.TrimPrefix(strings.TrimSpace(parts[2]), `executing "body" at `)
	return fmt.Errorf("%s:%d: %s", parts[0], column+1, what)
}

// syntaxError finds the column that text/template leaves out: that of the first action which, with the text before it,
// has the same fault.
func syntaxError(text string, err error) error {
	line, what, ok := strings.Cut(strings.TrimPrefix(err.Error(), "template: body:"), ": ")
	number, notNumber := strconv.Atoi(line)
	if !ok || notNumber != nil {
		return err
	}
	lines := strings.SplitAfter(text, "\n")
	number = min(max(number, 1), len(lines))
	before, here := strings.Join(lines[:number-1], ""), lines[number-1]
	column := 1
	for end := 0; ; {
		begin := strings.Index(here[end:], "{{")
		if begin < 0 {
			break
		}
		column = utf8.RuneCountInString(here[:end+begin]) + 1
		length := strings.Index(here[end+begin:], "}}")
		if length < 0 {
			break
		}
		end += begin + length + 2
		_, same := template.New("body").Funcs(templateFuncs()).Parse(before + here[:end])
		if same != nil && same.Error() == err.Error() {
			break
		}
	}
	return fmt.Errorf("%d:%d: %s", number, column, what)
}
