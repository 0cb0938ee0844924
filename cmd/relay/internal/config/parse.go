package config

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The parser's time grows with the square of the number of keys in a block mapping, so relay parses a long mapping in pieces.
const (
	pieceKeys   = 64
	pieceTokens = 1024 // An entry with more is parsed separately.
)

// parseTokens parses a document. It returns nil for an empty one.
func parseTokens(tokens token.Tokens) (ast.Node, error) {
	plain := make(token.Tokens, 0, len(tokens))
	for _, tk := range tokens {
		if tk.Type != token.CommentType {
			plain = append(plain, tk)
		}
	}
	if len(plain) > 0 && plain[0].Type == token.DocumentHeaderType {
		plain = plain[1:]
	}
	if len(plain) > 0 && plain[len(plain)-1].Type == token.DocumentEndType {
		plain = plain[:len(plain)-1]
	}
	if len(plain) < pieceTokens || !startsBlock(plain) {
		return parsePiece(tokens)
	}
	return parseBlock(plain)
}

func parsePiece(tokens token.Tokens) (ast.Node, error) {
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil || len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil, err
	}
	return file.Docs[0].Body, nil
}

// startsBlock reports whether tokens begin with a key outside braces.
func startsBlock(tokens token.Tokens) bool {
	return len(tokens) > 1 && tokens[1].Type == token.MappingValueType && tokens[0].Position.Line == tokens[1].Position.Line
}

// parseBlock parses the tokens of a block mapping.
func parseBlock(tokens token.Tokens) (ast.Node, error) {
	var whole *ast.MappingNode
	add := func(piece token.Tokens) (*ast.MappingNode, error) {
		n, err := parsePiece(piece)
		if err != nil {
			return nil, err
		}
		m, ok := n.(*ast.MappingNode)
		if !ok || whole == nil {
			whole = m
			return m, nil
		}
		whole.Values = append(whole.Values, m.Values...)
		return m, nil
	}
	starts, even := entryStarts(tokens)
	if !even { // The parser reports the error.
		return parsePiece(tokens)
	}
	for i := 0; i < len(starts)-1; {
		end := starts[i+1]
		if value := tokens[starts[i]+2 : end]; end-starts[i] >= pieceTokens && nested(tokens[starts[i]], value) {
			m, err := add(tokens[starts[i] : starts[i]+2 : starts[i]+2])
			if err != nil || m == nil {
				return nil, err
			}
			if m.Values[len(m.Values)-1].Value, err = parseBlock(value); err != nil {
				return nil, err
			}
			i++
			continue
		}
		last := i + 1
		for last < len(starts)-1 && last-i < pieceKeys && starts[last+1]-starts[last] < pieceTokens {
			last++
		}
		if m, err := add(tokens[starts[i]:starts[last]:starts[last]]); err != nil || m == nil {
			return nil, err
		}
		i = last
	}
	return whole, nil
}

// entryStarts returns the indexes where the entries of a block mapping begin and where the last one ends. even is false if an entry is further
// left than the first.
func entryStarts(tokens token.Tokens) (starts []int, even bool) {
	column, flow := tokens[0].Position.Column, 0
	for i, tk := range tokens {
		switch tk.Type { //nolint:exhaustive // The other tokens are inside an entry.
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		default:
			if flow == 0 && tk.Position.Column <= column && startsBlock(tokens[i:]) {
				if tk.Position.Column < column {
					return nil, false
				}
				starts = append(starts, i)
			}
		}
	}
	return append(starts, len(tokens)), true
}

// nested reports whether the value of a key is a block mapping.
func nested(key *token.Token, value token.Tokens) bool {
	return startsBlock(value) && value[0].Position.Line > key.Position.Line && value[0].Position.Column > key.Position.Column
}
