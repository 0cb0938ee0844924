package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/auth/provider"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/sinks"
)

var update = flag.Bool("update", false, "write the tables of docs/config.md, and docs/relay.schema.json")

// keyTable matches a generated table, with its markers.
var keyTable = regexp.MustCompile(`(?s)(<!-- keys of ([a-z ]+), written by TestConfigDocs -->\n)(.*?)(<!-- end of keys -->\n)`)

// The tables of docs/config.md and docs/relay.schema.json are up to date.
func TestConfigDocs(t *testing.T) {
	s := newSource(t)
	tables := make(map[string]table)
	for _, table := range s.tables() {
		tables[table.name] = table
	}
	text := keyTable.ReplaceAllStringFunc(doctest.Read(t, "docs/config.md"), func(old string) string {
		parts := keyTable.FindStringSubmatch(old)
		table, ok := tables[parts[2]]
		if !ok {
			t.Errorf("docs/config.md has a table of %s, which is not a section or comes twice", parts[2])
			return old
		}
		delete(tables, parts[2])
		return parts[1] + table.markdown() + parts[4]
	})
	for name, table := range tables {
		if len(table.keys) > 0 {
			t.Errorf("docs/config.md has no table of %s; add these lines where it belongs:\n<!-- keys of %s, written by TestConfigDocs -->\n<!-- end of keys -->", name, name)
		}
	}
	for path, want := range map[string]string{"docs/config.md": text, "docs/relay.schema.json": schemaText(t, s)} {
		if *update {
			if err := os.WriteFile(filepath.Join(doctest.Root(t), path), []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if diff := gocmp.Diff(doctest.Read(t, path), want); diff != "" {
			t.Errorf("%s does not match the keys (-file +keys); run go test ./cmd/relay/internal/config -run TestConfigDocs -update:\n%s", path, diff)
		}
	}
}

func TestConfigExampleLoads(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(doctest.Root(t), "docs", "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	getenv := inConfigDir(t)
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("docs/config.md has no example")
	}
	lookup := func(name string) (string, bool) {
		return getenv(map[string]string{"WEBHOOK_SECRET": "SIGNING", "TREATSTREAM_SECRET": "SECRET"}[name])
	}
	c, err := load(t, example, lookup)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Sinks {
		names = append(names, s.Name)
	}
	if want := []string{"bot", "console", "overlay"}; !slices.Equal(names, want) {
		t.Errorf("the example has the sinks %q, want %q", names, want)
	}
	_, err = load(t, strings.Replace(example, " url:", " ulr:", 1), lookup)
	if errs, ok := errors.AsType[Faults](err); !ok || !strings.Contains(string(text), "\n    "+errs[len(errs)-1].Error()+"\n") {
		t.Errorf("docs/config.md shows another error for the misspelled key ulr than:\n%v", err)
	}
}

// eachKey calls f for every key of a configuration: those of all sections, in their defaults.
func eachKey(f func(path string, k key)) {
	var walk func(path string, section reflect.Value)
	walk = func(path string, section reflect.Value) {
		for _, k := range keysOf(section) {
			at := strings.TrimPrefix(path+"."+k.name, ".")
			switch {
			case k.name == "accounts" && path == "":
				walk("accounts.NAME", reflect.ValueOf(defaultAccount()))
			case k.name == "sinks" && path == "":
				walk("sinks.NAME", reflect.ValueOf(defaultSink()))
				for _, name := range sinks.Types() {
					walk("sinks.NAME", reflect.ValueOf(sinks.NewConfig(name)).Elem())
				}
			case k.name == "overlays" && path == "":
				walk("overlays.NAME", reflect.ValueOf(defaultOverlay()))
			case isSection(k.value.Type()):
				walk(at, k.value)
			default:
				f(at, k)
			}
		}
	}
	walk("", reflect.ValueOf(defaults()))
}

// The decoder, config show and the checks know the type and the tags of every key: they panic on one that they do not know.
func TestEveryKeyIsKnown(t *testing.T) {
	eachKey(func(path string, k key) {
		item := reflect.New(k.value.Type()).Elem()
		if kind := item.Kind(); kind == reflect.Slice || kind == reflect.Map {
			item = reflect.New(k.value.Type().Elem()).Elem()
		}
		_ = setScalar(item, "1", k.tag)
		if item.Kind() != reflect.String && !isSecret(item) {
			_ = writtenValue(k.value, k.tag)
		}
		for name := range strings.FieldsSeq(regexp.MustCompile(`:"[^"]*"`).ReplaceAllString(string(k.tag), "")) {
			if !slices.Contains([]string{"yaml", "json", "value", "min", "max", "off", "for"}, name) {
				t.Errorf("%s has the tag %s, which means nothing", path, name)
			}
		}
		for _, p := range provider.All() {
			_ = k.appliesTo(p)
		}
	})
}

// The default of every key is a value that the key takes.
func TestDefaultsAreInRange(t *testing.T) {
	eachKey(func(path string, k key) {
		if text := strings.Trim(defaultText(k), "`"); text != "" {
			if err := setScalar(reflect.New(k.value.Type()).Elem(), text, k.tag); err != nil {
				t.Errorf("%s does not take its default %s: %v", path, text, err)
			}
		}
	})
}

// No key of one type of sink hides a key of all sinks.
func TestKeysOfSinksDiffer(t *testing.T) {
	common := keysByName(reflect.ValueOf(sinkKeys{}))
	for _, name := range sinks.Types() {
		for _, k := range keysOf(reflect.ValueOf(sinks.NewConfig(name)).Elem()) {
			if _, ok := common[k.name]; ok {
				t.Errorf("the key %s of type %s is one of all sinks", k.name, name)
			}
		}
	}
}
