package api_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
)

// docs/api.md has every operation with its role, and every problem, and no other.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile("../../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	operations := api.Operations()
	for _, o := range operations {
		if row := "| `" + o.Method + " " + api.Root + o.Path + "` | " + o.Role.String() + " |"; strings.Count(text, row) != 1 {
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

// docs/api.md has every problem of the HTTP server and of the overlays.
func TestDocsHaveTheProblemsOverHTTP(t *testing.T) {
	data, err := os.ReadFile("../../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, dir := range []string{"../../../../web", "../../../../web/overlay"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range problemName.FindAllStringSubmatch(string(source), -1) {
				seen++
				if !strings.Contains(string(data), "| `"+m[1]+"` |") && !strings.Contains(string(data), "| `urn:relay:problem:"+m[1]+"` |") {
					t.Errorf("%s: docs/api.md does not have the problem %s", path, m[1])
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d problems are found", seen)
	}
}

// problemName matches the name of a problem where it is made, or declared.
var problemName = regexp.MustCompile(`(?:problem\.New\(http\.Status\w+, |\tproblem\w+ += )"([a-z-]+)"`)
