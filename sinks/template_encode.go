package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"
)

// encoding is how values are written so that they stay values.
type encoding int

const (
	encodeText  encoding = iota // as they are
	encodeQuery                 // percent-encoded, as in a form
	encodeJSON                  // outside a string as a JSON value, inside a string as text of it
)

func encodingOf(mediaType string) encoding {
	base, _, _ := mime.ParseMediaType(mediaType)
	switch {
	case base == "application/x-www-form-urlencoded":
		return encodeQuery
	case base == "application/json", strings.HasSuffix(base, "+json"):
		return encodeJSON
	}
	return encodeText
}

// place is where in JSON a text ends.
type place int

const (
	outside  place = iota // of strings
	inside                // a string
	escaping              // after a backslash in a string
)

// after follows JSON text from a place.
func (p place) after(text []byte) place {
	for _, c := range text {
		switch {
		case p == escaping:
			p = inside
		case c == '"' && p == inside:
			p = outside
		case c == '"':
			p = inside
		case c == '\\' && p == inside:
			p = escaping
		}
	}
	return p
}

// rewriter adds to each action of a template the function that encodes its value, as html/template does: which one
// depends on where the action stands, so all ways to one point must end in the same place.
type rewriter struct {
	tree *parse.Tree
	kind encoding
}

func (w *rewriter) errorf(n parse.Node, format string, args ...any) error {
	location, _ := w.tree.ErrorContext(n)
	return execError(fmt.Errorf("template: %s: %w", location, fmt.Errorf(format, args...)))
}

// list rewrites nodes that begin at a place and returns the place they end at. loop is where the turns of the loop around
// them begin and end, nil outside a loop.
func (w *rewriter) list(l *parse.ListNode, at place, loop *place) (place, error) {
	if l == nil {
		return at, nil
	}
	for _, n := range l.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.TextNode:
			if w.kind == encodeJSON {
				at = at.after(n.Text)
			}
		case *parse.ActionNode:
			err = w.action(n, at)
		case *parse.IfNode:
			at, err = w.branches(&n.BranchNode, at, loop)
		case *parse.WithNode:
			at, err = w.branches(&n.BranchNode, at, loop)
		case *parse.RangeNode:
			err = w.loop(n, at, loop)
		case *parse.BreakNode, *parse.ContinueNode:
			if loop != nil && at != *loop {
				err = w.errorf(n, "%s leaves the loop on the other side of a quote than where it begins", n)
			}
		case *parse.CommentNode:
		default:
			err = w.errorf(n, "%s is not supported", n)
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

func (w *rewriter) action(n *parse.ActionNode, at place) error {
	if len(n.Pipe.Decl) > 0 { // It writes nothing.
		return nil
	}
	encode := "_text"
	switch {
	case w.kind == encodeQuery:
		encode = "_query"
	case w.kind == encodeJSON && at == escaping:
		return w.errorf(n, "%s stands after a backslash", n)
	case w.kind == encodeJSON && at == inside:
		encode = "_inside"
	case w.kind == encodeJSON:
		encode = "_value"
	}
	n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(encode).SetTree(w.tree).SetPos(n.Pos)},
	})
	return nil
}

func (w *rewriter) branches(n *parse.BranchNode, at place, loop *place) (place, error) {
	then, err := w.list(n.List, at, loop)
	if err != nil {
		return at, err
	}
	other, err := w.list(n.ElseList, at, loop)
	if err == nil && then != other {
		err = w.errorf(n, "its branches end on different sides of a quote: give each the same quotes")
	}
	return then, err
}

func (w *rewriter) loop(n *parse.RangeNode, at place, around *place) error {
	n.List.Nodes = slices.Insert(n.List.Nodes, 0, parse.Node(&parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos})) // See boundedBuffer.
	end, err := w.list(n.List, at, &at)
	if err != nil {
		return err
	}
	other, err := w.list(n.ElseList, at, around)
	if err == nil && (end != at || other != at) {
		err = w.errorf(n, "its turns end on the other side of a quote than where they begin")
	}
	return err
}

// raw is a text that is written as it is, and jsonText one that is a JSON value already.
type (
	raw      string
	jsonText string
)

// templateFuncs are the functions of templates, beside those of text/template. Each takes the value last, for pipes.
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

// toText writes a value for people: nothing for null, a text as it is, the rest as JSON.
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

// truncate returns the first characters of a text, with an ellipsis as the last of them if there are more.
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

// formatDate writes a time of an event by a layout of Go's time package, or as "unix" seconds. A zone may come between the
// two; without one it is UTC.
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
