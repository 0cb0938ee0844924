package body

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"text/template/parse"
)

// encoding is how values are encoded so that they stay values.
type encoding int

const (
	encodeText  encoding = iota // unchanged
	encodeQuery                 // percent-encoded, as in a form
	encodeJSON                  // outside a string as a JSON value, inside a string as a part of it
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

// place is the lexical state of JSON at a point of a template.
type place int

const (
	outside  place = iota // of strings
	inside                // a string
	escaping              // after a backslash in a string
)

// after returns the place behind text that begins at p.
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

// rewriter appends to each action of a template the function that encodes its value, as html/template does. The
// function depends on the place of the action, so all paths to a point must end in the same place.
type rewriter struct {
	tree *parse.Tree
	kind encoding
}

func (r *rewriter) errorf(n parse.Node, format string, args ...any) error {
	location, _ := r.tree.ErrorContext(n)
	return execError(fmt.Errorf("template: %s: %w", location, fmt.Errorf(format, args...)))
}

// list rewrites nodes that begin at a place and returns the place where they end. loop is the place where the
// iterations of the enclosing loop begin and end, nil outside a loop.
func (r *rewriter) list(l *parse.ListNode, at place, loop *place) (place, error) {
	if l == nil {
		return at, nil
	}
	for _, n := range l.Nodes {
		var err error
		switch n := n.(type) {
		case *parse.TextNode:
			if r.kind == encodeJSON {
				at = at.after(n.Text)
			}
		case *parse.ActionNode:
			err = r.action(n, at)
		case *parse.IfNode:
			at, err = r.branches(&n.BranchNode, at, loop)
		case *parse.WithNode:
			at, err = r.branches(&n.BranchNode, at, loop)
		case *parse.RangeNode:
			err = r.loop(n, at, loop)
		case *parse.BreakNode, *parse.ContinueNode:
			if loop != nil && at != *loop {
				err = r.errorf(n, "%s leaves the loop on the other side of a quote than where it begins", n)
			}
		case *parse.CommentNode:
		default:
			err = r.errorf(n, "%s is not supported", n)
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

func (r *rewriter) action(n *parse.ActionNode, at place) error {
	if len(n.Pipe.Decl) > 0 { // it writes nothing
		return nil
	}
	encode := "_text"
	switch {
	case r.kind == encodeQuery:
		encode = "_query"
	case r.kind == encodeJSON && at == escaping:
		return r.errorf(n, "%s stands after a backslash", n)
	case r.kind == encodeJSON && at == inside:
		encode = "_inside"
	case r.kind == encodeJSON:
		encode = "_value"
	}
	n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
		NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(encode).SetTree(r.tree).SetPos(n.Pos)},
	})
	return nil
}

func (r *rewriter) branches(n *parse.BranchNode, at place, loop *place) (place, error) {
	then, err := r.list(n.List, at, loop)
	if err != nil {
		return at, err
	}
	other, err := r.list(n.ElseList, at, loop)
	if err == nil && then != other {
		err = r.errorf(n, "its branches end on different sides of a quote: give each the same quotes")
	}
	return then, err
}

func (r *rewriter) loop(n *parse.RangeNode, at place, around *place) error {
	n.List.Nodes = slices.Insert(n.List.Nodes, 0, parse.Node(&parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos})) // see boundedBuffer
	end, err := r.list(n.List, at, &at)
	if err != nil {
		return err
	}
	other, err := r.list(n.ElseList, at, around)
	if err == nil && (end != at || other != at) {
		err = r.errorf(n, "its turns end on the other side of a quote than where they begin")
	}
	return err
}
