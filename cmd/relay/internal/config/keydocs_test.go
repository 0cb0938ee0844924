package config

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
)

// A keyDoc is the documentation of a key, which comes from its field.
type keyDoc struct {
	path    string // such as sinks.NAME.url
	value   string // which values it takes, in Markdown
	initial string // its default, in Markdown; empty if it has none
	meaning string
}

// A source has the doc comments of the types that have keys. It reads each package once.
type source struct {
	t        *testing.T
	root     string
	packages map[string]map[string]*ast.TypeSpec // by import path and name
}

func newSource(t *testing.T) *source {
	return &source{t: t, root: doctest.Root(t), packages: make(map[string]map[string]*ast.TypeSpec)}
}

// typeSpec finds the declaration of a struct.
func (s *source) typeSpec(t reflect.Type) *ast.TypeSpec {
	s.t.Helper()
	types := s.packages[t.PkgPath()]
	if types == nil {
		types = s.parse(strings.TrimPrefix(t.PkgPath(), "github.com/treatrelay/relay/"))
		s.packages[t.PkgPath()] = types
	}
	spec := types[t.Name()]
	if spec == nil {
		s.t.Fatalf("the source of %v is not found", t)
	}
	return spec
}

// parse returns the types that a package of the module declares.
func (s *source) parse(dir string) map[string]*ast.TypeSpec {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		s.t.Fatal(err)
	}
	types := make(map[string]*ast.TypeSpec)
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok {
					spec.Doc = cmp.Or(spec.Doc, general.Doc)
					types[spec.Name.Name] = spec
				}
			}
		}
	}
	return types
}

// paragraphs returns the paragraphs of the doc comment of a field, each as one line.
func (s *source) paragraphs(k key) []string {
	s.t.Helper()
	fields, ok := s.typeSpec(k.owner).Type.(*ast.StructType)
	if !ok {
		s.t.Fatalf("%v is not a struct", k.owner)
	}
	for _, field := range fields.Fields.List {
		for _, name := range field.Names {
			if name.Name == k.field {
				return paragraphs(field.Doc)
			}
		}
	}
	s.t.Fatalf("%v has no field %s", k.owner, k.field)
	return nil
}

func paragraphs(doc *ast.CommentGroup) []string {
	var all []string
	for text := range strings.SplitSeq(strings.TrimSpace(doc.Text()), "\n\n") {
		all = append(all, strings.Join(strings.Fields(text), " "))
	}
	return all
}

// doc returns the documentation of a key at a path.
func (s *source) doc(path string, k key) keyDoc {
	s.t.Helper()
	doc := keyDoc{path: path, value: valueText(k), initial: defaultText(k)}
	for i, text := range s.paragraphs(k) {
		initial, isDefault := strings.CutPrefix(text, "Default: ")
		switch {
		case i == 0 && text == "":
			s.t.Errorf("the field %s of %v, which is the key %s, has no doc comment", k.field, k.owner, path)
		case i == 0:
			doc.meaning = text
		case isDefault || strings.HasPrefix(text, "Required"):
			if doc.initial != "" {
				s.t.Errorf("the comment of %s repeats a default that the section has: %s", path, doc.initial)
			}
			doc.initial = strings.TrimSuffix(strings.Replace(initial, "Required", "required", 1), ".")
		}
	}
	return doc
}

// valueText describes the values of a key in Markdown.
func valueText(k key) string {
	t, tag := k.value.Type(), k.tag
	words := wordsOf(t)
	for i := range words {
		words[i] = "`" + words[i] + "`"
	}
	item := t
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		item = t.Elem()
	}
	noun := "text"
	if item == reflect.TypeFor[secret.String]() {
		noun = "secret"
	}
	switch {
	case tag.Get("value") != "":
		return strings.ReplaceAll(tag.Get("value"), "'", "`")
	case words != nil:
		return choice(words)
	case k.isPath():
		return "path"
	case t == reflect.TypeFor[time.Duration]():
		return "duration" + limits(tag, " from ", " of at least ", "`")
	case t == reflect.TypeFor[*time.Location]():
		return "IANA zone"
	case t.Kind() == reflect.Bool:
		return "`true` or `false`"
	case t.Kind() == reflect.Int:
		return "number" + limits(tag, " from ", " of at least ", "`")
	case t.Kind() == reflect.Slice && wordsOf(item) != nil:
		return "list of `" + strings.Join(wordsOf(item), "`, `") + "`"
	case t.Kind() == reflect.Slice:
		return "list of " + noun + "s"
	case t.Kind() == reflect.Map:
		return "names with " + noun + "s"
	}
	return noun
}

// defaultText returns the default that a section has for a key, in Markdown. It is empty if there is none.
func defaultText(k key) string {
	var value any
	switch {
	case isSecret(k.value) || k.value.Kind() == reflect.Slice || k.value.Kind() == reflect.Map:
	case k.value.Kind() == reflect.String && k.value.String() != "":
		value = k.value.String()
	case k.value.Kind() != reflect.String && (!k.value.IsZero() || k.value.Type() != reflect.TypeFor[time.Duration]()):
		value = writtenValue(k.value, k.tag)
	}
	if value == nil {
		return ""
	}
	return fmt.Sprintf("`%v`", value)
}

// A table is the keys of one section.
type table struct {
	name string // as the marker in docs/config.md has it
	keys []keyDoc
}

// tables returns the keys of all sections.
func (s *source) tables() []table {
	file := defaults()
	var all []table
	for _, k := range keysOf(reflect.ValueOf(file)) {
		switch k.name {
		case "accounts":
			all = append(all, table{k.name, s.docs("accounts.NAME", reflect.ValueOf(defaultAccount()))})
		case "sinks":
			all = append(all, table{k.name, s.docs("sinks.NAME", reflect.ValueOf(defaultSink()))})
			for _, name := range sinks.Types() {
				all = append(all, table{"sinks of type " + name, s.docs("sinks.NAME", reflect.ValueOf(sinks.NewConfig(name)).Elem())})
			}
		case "overlays":
			all = append(all, table{k.name, s.docs("overlays.NAME", reflect.ValueOf(defaultOverlay()))})
		default:
			all = append(all, table{k.name, s.docs(k.name, k.value)})
		}
	}
	return all
}

// docs returns the documentation of the keys of a section and of the sections in it.
func (s *source) docs(path string, section reflect.Value) []keyDoc {
	var all []keyDoc
	for _, k := range keysOf(section) {
		at := path + "." + k.name
		if isSection(k.value.Type()) {
			all = append(all, s.docs(at, k.value)...)
		} else {
			all = append(all, s.doc(at, k))
		}
	}
	return all
}

// markdown returns the table of the keys.
func (t table) markdown() string {
	var b strings.Builder
	b.WriteString("| Key | Value | Default | Meaning |\n|---|---|---|---|\n")
	for _, k := range t.keys {
		cells := strings.Join([]string{"`" + k.path + "`", k.value, k.initial, k.meaning}, " | ")
		b.WriteString(strings.ReplaceAll("| "+cells+" |\n", "|  |", "| |"))
	}
	return b.String()
}
