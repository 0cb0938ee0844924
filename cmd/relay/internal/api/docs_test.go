package api_test

import (
	"os"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// docs/api.md has every operation and every problem, and no other.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	operations := api.Operations()
	for _, o := range operations {
		if row := "| `" + o.Method + " " + api.Root + o.Path + "` |"; strings.Count(text, row) != 1 {
			t.Errorf("docs/api.md has no row %s", row)
		}
	}
	if n := strings.Count(text, "` |") - strings.Count(text, "`urn:"); n < len(operations) {
		t.Errorf("docs/api.md has %d rows of %d operations", n, len(operations))
	}
	names := api.Problems()
	for _, name := range names {
		if !strings.Contains(text, "| `urn:relay:problem:"+name+"` |") {
			t.Errorf("docs/api.md does not have the problem %s", name)
		}
	}
	if n := strings.Count(text, "| `urn:relay:problem:"); n != len(names) {
		t.Errorf("docs/api.md has %d problems, want %d", n, len(names))
	}
}
