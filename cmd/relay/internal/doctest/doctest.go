// Package doctest reads the documentation, for the tests that compare it with the program.
package doctest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	relaydocs "github.com/treatrelay/relay/docs"
)

// Root is the folder of the repository, as seen from the folder of the test.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
	}
	t.Fatalf("there is no go.mod above %s", dir)
	return ""
}

// Read returns a file of the repository, with plain line ends.
func Read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), path)) //nolint:gosec // of the repository
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// Fenced returns the fenced blocks of a language, unindented.
func Fenced(text, language string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?sm)^( *)```"+language+"\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], ""))
	}
	return blocks
}

// Rows returns the cells of the table under a heading or a text that begins a line.
func Rows(t *testing.T, text, after string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+after)
	if !ok {
		t.Fatalf("there is no %q", after)
	}
	var all [][]string
	for line := range strings.SplitSeq(rest, "\n") {
		if strings.HasPrefix(line, "| ") {
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			all = append(all, cells)
		} else if len(all) > 1 && !strings.HasPrefix(line, "|") {
			return all[1:]
		}
	}
	return all
}

// Code returns what stands in backticks.
func Code(text string) []string {
	var spans []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		spans = append(spans, m[1])
	}
	return spans
}

// All are the documents for people, by their path.
func All(t *testing.T) map[string]string {
	t.Helper()
	root := Root(t)
	paths := []string{filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md"), filepath.Join(root, "CHANGELOG.md")}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md", "examples/*.md", "examples/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, more...)
	}
	all := map[string]string{}
	for _, path := range paths {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = Read(t, name)
	}
	return all
}

// Schema compiles the schema that relay prints.
func Schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(relaydocs.ConfigSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(relaydocs.ConfigSchemaURL, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(relaydocs.ConfigSchemaURL)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// Fits reads text as an editor would, and says what the schema has against it.
func Fits(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatalf("%v in\n%s", err, asJSON)
	}
	return schema.Validate(value)
}

// Words splits a command line as a shell does, as far as quotes and spaces go.
func Words(line string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`).FindAllString(line, -1) {
		words = append(words, strings.NewReplacer("'", "", `"`, "").Replace(m))
	}
	return words
}
