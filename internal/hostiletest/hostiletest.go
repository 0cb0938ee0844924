// Package hostiletest has texts of viewers who want to break a page, for tests.
package hostiletest

import (
	_ "embed"
	"encoding/json"
	"strings"
	"testing"
)

//go:embed texts.txt
var texts string

// Texts returns more than a hundred texts. Every one that runs as a script calls pwned.
func Texts(t testing.TB) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(texts) {
		var text string
		if err := json.Unmarshal([]byte(line), &text); err != nil {
			t.Fatalf("decode hostile text %s: %v", line, err)
		}
		all = append(all, text)
	}
	if len(all) < 100 {
		t.Fatalf("there are only %d hostile texts", len(all))
	}
	return all
}
