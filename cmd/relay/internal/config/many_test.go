package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
)

// manyFaults are files with some 100,000 faults each.
func manyFaults() map[string]string {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	const start = "accounts: {mystream: {provider: treesnap}}\nsinks:\n  out:\n    type: stdout\n"
	return map[string]string{
		"unknown keys":            lines(100_000, "key%d: x\n"),
		"unknown keys of a sink":  start + lines(100_000, "    key%d: x\n"),
		"duplicate keys":          start + strings.Repeat("    tests: skip\n", 100_000),
		"unknown accounts":        start + "    accounts:\n" + lines(100_000, "      - account%d\n"),
		"the same account":        start + "    accounts:\n" + strings.Repeat("      - mystream\n", 100_000),
		"accounts without keys":   "accounts:\n" + lines(90_000, "  a%d: {}\n"),
		"sinks without a type":    "sinks:\n" + lines(90_000, "  s%d: {}\n"),
		"accounts with bad keys":  "accounts:\n" + lines(50_000, "  a%d:\n    providr: treesnap\n"),
		"bad names":               "accounts:\n" + lines(60_000, "  A%d: {provider: treesnap}\n"),
		"unknown variables":       start + "    accounts:\n" + lines(100_000, "      - \"${NONE%d}\"\n"),
		"secrets in bad accounts": "accounts:\n" + lines(30_000, "  a%d:\n    provider: nobody\n    client_secret: \"secret of many letters\"\n"),
		"sinks of one stream":     "accounts: {mystream: {provider: treesnap}}\nsinks:\n" + lines(60_000, "  s%d: {type: nats}\n"),
		"many accounts, unknown":  "accounts:\n" + lines(30_000, "  a%d: {provider: treesnap}\n") + "sinks:\n  out:\n    type: stdout\n    accounts:\n" + lines(30_000, "      - b%d\n"),
		"lines without a colon":   lines(100_000, "key%d\n"),
		"tabs":                    lines(100_000, "\tkey%d: x\n"),
		"anchors":                 lines(60_000, "key%d: &a x\n"),
	}
}

// A file with any number of faults is read in a time that grows with its size, of which the first 50 faults and their number come out.
func TestManyFaults(t *testing.T) {
	for name, text := range manyFaults() {
		t.Run(name, func(t *testing.T) {
			path := writeConfig(t, text)
			if _, err := Load(path, os.LookupEnv); err == nil || strings.Count(err.Error(), "\n") > shownFaults || len(err.Error()) > 64<<10 {
				t.Errorf("%d bytes: %.1000v", len(fmt.Sprint(err)), err)
			}
		})
	}
	t.Run("which ones", func(t *testing.T) {
		path := writeConfig(t, manyFaults()["unknown keys"])
		_, err := Load(path, os.LookupEnv)
		faults, ok := errors.AsType[Faults](err)
		if !ok || len(faults) != shownFaults+1 {
			t.Fatalf("%d faults", len(faults))
		}
		for i, f := range faults[:shownFaults] {
			if f.Line != i+1 || f.Path != fmt.Sprintf("key%d", i) {
				t.Errorf("fault %d is %v", i, f)
			}
		}
		if want := path + ": and 99950 more faults: correct these first"; faults[shownFaults].Error() != want {
			t.Errorf("%q, want %q", faults[shownFaults].Error(), want)
		}
	})
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A long mapping that is parsed in pieces is what the parser makes of the whole.
func TestPieces(t *testing.T) {
	block := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(format, "%", fmt.Sprint(i)))
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"keys": block(600, "k%: v%\n"), "nested": "a:\n" + block(600, "  k%:\n    x: 1\n    y: [a, b]\n") + "b: 1\nc:\n" + block(500, "  - x%\n") + "d: {" + block(400, "k%: v, ") + "z: 1}\n",
		"comments": "# top\n" + block(400, "# about %\nk%: v # of it\n\n"), "header": "---\n" + block(600, "k%: v\n") + "...\n",
		"lists at the key": block(300, "k%:\n- a\n- b: c\n  d: e\n"), "texts": block(300, "k%: |\n  x: y\n  z\nl%: 'a: b'\n\"m%\": c\n"), "nothing": block(600, "k%:\n"),
		"deep": "a:\n  b:\n    c:\n" + block(600, "      k%: v\n") + "  e: 1\n", "same": block(600, "k: v%\n"), "flow over lines": block(200, "k%: {a: 1,\n b: 2,\nc: 3}\n"),
		"to the left": "a:\n   b: 1\n" + block(600, "  k%: v\n"), "not a mapping": block(600, "k%: v\n") + "- a\n", "twice": block(600, "k%: v\n") + "a: b: c\n", "open": block(600, "k%: v\n") + "a: [\n",
	} {
		t.Run(name, func(t *testing.T) {
			whole, wholeErr := parsePiece(lexer.Tokenize(text))
			pieces, err := parseTokens(lexer.Tokenize(text))
			if (err == nil) != (wholeErr == nil) {
				t.Fatalf("in pieces: %v, as a whole: %v", err, wholeErr)
			}
			if err == nil && outline(pieces) != outline(whole) {
				t.Errorf("in pieces:\n%.2000s\nas a whole:\n%.2000s", outline(pieces), outline(whole))
			}
		})
	}
}

// outline is what the decoder reads of a tree.
func outline(n ast.Node) string {
	at := beginning(n)
	switch n := n.(type) {
	case *ast.MappingNode:
		var b strings.Builder
		for _, v := range n.Values {
			fmt.Fprintf(&b, "%d:%d %q %v = %s\n", v.Key.GetToken().Position.Line, v.Key.GetToken().Position.Column, v.Key.GetToken().Value, v.Start.Type, outline(v.Value))
		}
		return b.String()
	case *ast.SequenceNode:
		var b strings.Builder
		for _, v := range n.Values {
			b.WriteString("- " + outline(v) + "\n")
		}
		return b.String()
	}
	if n.Type() == ast.NullType { // the parser has it where the next key is, and faults of it are at the key
		return "nothing"
	}
	text, ok := scalarText(n)
	return fmt.Sprint(at, " ", n.Type(), " ", text, ok)
}
