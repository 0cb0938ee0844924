package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"

	"github.com/treatrelay/relay/sinks"
)

// acceptedKeys lists the keys a type decodes, each with its default as the documentation writes it. A key that only some
// type of sink has is followed by that type.
func acceptedKeys(v reflect.Value, prefix, suffix string, keys map[string]string) {
	for key, field := range fieldsOf(v) {
		path := strings.TrimPrefix(prefix+"."+key, ".")
		switch {
		case field.Type() == reflect.TypeFor[map[string]Account]():
			account := defaultAccount()
			acceptedKeys(reflect.ValueOf(&account).Elem(), path+".NAME", suffix, keys)
		case field.Type() == reflect.TypeFor[map[string]Sink]():
			sink := defaultSink()
			acceptedKeys(reflect.ValueOf(&sink).Elem(), path+".NAME", suffix, keys)
			for _, name := range sinks.Types() {
				acceptedKeys(reflect.ValueOf(sinks.NewConfig(name)).Elem(), path+".NAME", " of type "+name, keys)
			}
		case isSection(field.Type()):
			acceptedKeys(field, path, suffix, keys)
		default:
			keys[path+suffix] = ""
			switch value := field.Interface().(type) {
			case time.Duration:
				keys[path+suffix] = value.String()
			case string:
				keys[path+suffix] = value
			case zone:
				keys[path+suffix] = value.location.String()
			}
		}
	}
}

// documentedKey is what docs/config.md says of a key.
type documentedKey struct{ value, fallback, meaning string }

// documentedKeys reads the tables of docs/config.md. A key that only some type of sink has is followed by that type.
func documentedKeys(t *testing.T) map[string]documentedKey {
	t.Helper()
	documented := make(map[string]documentedKey)
	suffix := ""
	row := regexp.MustCompile("^\\| `([a-zA-Z_.]+)` \\| (.+) \\| (.*) ?\\| (.+) \\|$")
	for line := range strings.Lines(doctest.Read(t, "docs/config.md")) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "#"); ok {
			suffix = ""
			if name, ok := strings.CutPrefix(strings.TrimLeft(title, "#"), " Type "); ok {
				suffix = " of type " + name
			}
		}
		if m := row.FindStringSubmatch(line); m != nil {
			documented[m[1]+suffix] = documentedKey{m[2], strings.TrimSpace(m[3]), m[4]}
		} else if strings.HasPrefix(line, "| `") {
			t.Errorf("a table row is not understood: %s", line)
		}
	}
	return documented
}

func TestConfigKeysAreDocumented(t *testing.T) {
	documented := documentedKeys(t)
	accepted := make(map[string]string)
	keys := defaults()
	acceptedKeys(reflect.ValueOf(&keys).Elem(), "", "", accepted)
	for key, value := range accepted {
		of, ok := documented[key]
		got := strings.Trim(of.fallback, "`")
		if !ok {
			t.Errorf("docs/config.md lacks %s", key)
		}
		if d, err := time.ParseDuration(got); value != "" && value != "0s" && got != value && (err != nil || fmt.Sprint(d) != value) {
			t.Errorf("docs/config.md says that the default of %s is %q, it is %q", key, got, value)
		}
	}
	for key := range documented {
		if _, ok := accepted[key]; !ok {
			t.Errorf("docs/config.md has %s, which is not accepted", key)
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
		t.Errorf("docs/config.md shows another error for the slip ulr than:\n%v", err)
	}
}

// Every type of sink can be configured, and no key of a type hides one that all sinks have.
func TestConfigKnowsEveryFieldOfEverySink(t *testing.T) {
	common := fieldsOf(reflect.ValueOf(&sinkKeys{}).Elem())
	for _, name := range sinks.Types() {
		for key, field := range fieldsOf(reflect.ValueOf(sinks.NewConfig(name)).Elem()) {
			if common[key].IsValid() {
				t.Errorf("the key %s of type %s is one of all sinks", key, name)
			}
			item := field
			if k := field.Kind(); k == reflect.Slice || k == reflect.Map {
				item = reflect.New(field.Type().Elem()).Elem()
			}
			_ = setScalar(item, "x") // It panics if it does not know the type.
		}
	}
}
