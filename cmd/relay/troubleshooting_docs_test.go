package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Each warning and error of the log is in docs/troubleshooting.md, by its beginning: what comes before a colon, a semicolon, a comma, a verb
// of fmt or the end of a sentence.
func TestTroubleshootingHasTheMessages(t *testing.T) {
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(text)
	seen := 0
	for _, root := range []string{"../../cmd", "../../auth", "../../pipeline", "../../sinks", "../../socket", "../../web", "../../internal/natsserver"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			for _, message := range warnings(t, path) {
				seen++
				if !strings.Contains(docs, beginningOf(message)) {
					t.Errorf("%s: docs/troubleshooting.md does not have %q", strings.TrimPrefix(path, "../../"), beginningOf(message))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 100 {
		t.Errorf("only %d messages were found", seen)
	}
}

func beginningOf(message string) string {
	from := 0
	if key, ok := strings.CutPrefix(message, "http.listen"); ok { // a key of the configuration has a point
		from = len(message) - len(key)
	}
	if i := strings.IndexAny(message[from:], ":;,%."); i >= 0 {
		message = message[:from+i]
	}
	return strings.TrimSpace(message)
}

// warnings returns the messages that a file logs as warnings and errors.
func warnings(t *testing.T, path string) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "Msg" && method.Sel.Name != "Msgf" || !atLeastWarning(method.X) {
			return true
		}
		literal := call.Args[0]
		for sum, ok := literal.(*ast.BinaryExpr); ok; sum, ok = literal.(*ast.BinaryExpr) {
			literal = sum.X // the beginning of a sum
		}
		if l, ok := literal.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if message, err := strconv.Unquote(l.Value); err == nil {
				all = append(all, message)
			}
		}
		return true
	})
	return all
}

// atLeastWarning reports whether a chain of calls begins with Warn() or Error() of a logger.
func atLeastWarning(chain ast.Expr) bool {
	for {
		call, ok := chain.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if (method.Sel.Name == "Warn" || method.Sel.Name == "Error") && len(call.Args) == 0 {
			return true
		}
		chain = method.X
	}
}
