package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// The limits of a configuration file. They allow 10,000 accounts, which take about a second. The parser recurses for each key and level.
const (
	maxSize   = 8 << 20
	maxLines  = 120_000
	maxTokens = 400_000
	maxDepth  = 16
)

// A position in the file, both from 1.
type position struct{ line, column int }

func positionOf(tk *token.Token) position { return position{tk.Position.Line, tk.Position.Column} }

// parseYAML returns the document in the file. It returns nil if it reported a fault.
func (d *decoder) parseYAML(text []byte) ast.Node {
	source, ok := d.checkText(text)
	if !ok {
		return nil
	}
	tokens := lexer.Tokenize(source)
	if !d.checkTokens(tokens) {
		return nil
	}
	body, err := parseTokens(tokens)
	if err != nil {
		d.syntaxError(err)
		return nil
	}
	if body == nil || body.Type() == ast.NullType {
		d.report(position{1, 1}, "", "the file is empty: add accounts and sinks, see docs/config.md")
		return nil
	}
	return body
}

// checkText rejects text that YAML does not allow, and returns the text with LF line ends.
func (d *decoder) checkText(text []byte) (string, bool) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte("\r"), []byte("\n"))
	d.lines = strings.Split(string(text), "\n")
	if len(d.lines) > maxLines {
		d.report(position{maxLines + 1, 1}, "", fmt.Sprintf("the file has more than %d lines", maxLines))
		return "", false
	}
	for i, line := range d.lines {
		if column, found := findTab(line); found {
			d.report(position{i + 1, column}, "", "a tab: use spaces")
			return "", false
		}
		column := 0
		for at, r := range line {
			column++
			if _, size := utf8.DecodeRuneInString(line[at:]); r == utf8.RuneError && size == 1 {
				d.report(position{i + 1, column}, "", "the text is not UTF-8")
				return "", false
			}
			if r < ' ' && r != '\t' || r == 0x7f {
				d.report(position{i + 1, column}, "", fmt.Sprintf("the control character %U is not allowed", r))
				return "", false
			}
		}
	}
	return string(text), true
}

// findTab returns the column of a tab outside comments. The parser silently drops tabs from the middle of a text, which would change a secret.
func findTab(line string) (column int, found bool) {
	if at := strings.Index(line, "#"); at == 0 || at > 0 && (line[at-1] == ' ' || line[at-1] == '\t') {
		line = line[:at]
	}
	at := strings.Index(strings.TrimRight(line, " \t"), "\t")
	if at < 0 {
		return 0, false
	}
	return utf8.RuneCountInString(line[:at]) + 1, true
}

// checkTokens rejects the parts of YAML that relay does not support, before anything recurses or expands.
func (d *decoder) checkTokens(tokens token.Tokens) bool {
	before := d.faults.count
	var started, ended bool
	var flow int
	var columns []int // Of the open block collections.
	for i, tk := range tokens {
		at := positionOf(tk)
		switch {
		case tk.Type == token.CommentType:
			continue
		case ended, tk.Type == token.DocumentHeaderType && started:
			d.report(at, "", "a second document begins here: a configuration is a single document")
			return false
		}
		started = true
		opens := false
		switch tk.Type { //nolint:exhaustive // The other tokens are fine.
		case token.DocumentEndType:
			ended = true
		case token.AnchorType, token.AliasType, token.TagType, token.DirectiveType:
			d.report(at, "", "anchors (&), aliases (*), tags (!) and directives (%) are not supported: "+
				"put a text that begins with one of these characters in quotes")
		case token.MergeKeyType:
			d.report(at, "", "merge keys (<<) are not supported")
		case token.MappingKeyType:
			d.report(at, "", "complex keys (?) are not supported")
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType:
			opens = true
		default:
			opens = i+1 < len(tokens) && tokens[i+1].Type == token.MappingValueType
		}
		if opens && flow == 0 {
			for len(columns) > 0 && columns[len(columns)-1] >= at.column {
				columns = columns[:len(columns)-1]
			}
			columns = append(columns, at.column)
		}
		if flow+len(columns) > maxDepth {
			d.report(at, "", fmt.Sprintf("the file is nested more than %d levels deep", maxDepth))
			return false
		}
		if i >= maxTokens {
			d.report(at, "", "the file has too many keys and values")
			return false
		}
	}
	return d.faults.count == before
}

// syntaxError reports the parser's error without its excerpt of the file.
func (d *decoder) syntaxError(err error) {
	var at position
	message := "the file is not YAML"
	if located, ok := errors.AsType[yaml.Error](err); ok {
		message = located.GetMessage()
		if tk := located.GetToken(); tk != nil {
			at = positionOf(tk)
		}
	}
	at = d.inside(at)
	line := []rune(d.lines[at.line-1])
	switch {
	case strings.HasPrefix(message, "invalid header option"):
		message = "put a text that begins with | or > in quotes" // The parser's message quotes the text, which may be a secret.
	case strings.Contains(string(line[:min(at.column, len(line))]), "${"):
		message += ": inside { } and [ ] put ${VAR} in quotes"
	}
	d.report(at, "", "YAML: "+message)
}

func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "a text"
}

// scalarText returns a scalar as it is written, so that a client ID of digits keeps its zeros.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// beginning returns the position where a node starts.
func beginning(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return positionOf(m.Values[0].Key.GetToken())
	}
	return positionOf(n.GetToken())
}
