package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/auth/provider"
	relaydocs "github.com/treatrelay/relay/docs"
	"github.com/treatrelay/relay/sinks"
)

var updateSchema = flag.Bool("update", false, "write docs/relay.schema.json again")

const schemaFile = "../../../../docs/relay.schema.json"

// docs/relay.schema.json is made of the structs that decode a configuration and of the tables of docs/config.md.
func TestConfigSchema(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(newSchemaMaker(t).schema()); err != nil {
		t.Fatal(err)
	}
	if *updateSchema {
		if err := os.WriteFile(schemaFile, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := gocmp.Diff(strings.ReplaceAll(relaydocs.ConfigSchema, "\r\n", "\n"), b.String()); diff != "" {
		t.Errorf("docs/relay.schema.json is not what keys and docs/config.md say (-file +they); "+
			"run go test ./cmd/relay/internal/config -run '^TestConfigSchema$' -update:\n%s", diff)
	}
}

// Every configuration in the documentation fits the schema.
func TestConfigSchemaTakesTheDocumentation(t *testing.T) {
	schema := doctest.Schema(t)
	seen := 0
	for name, text := range doctest.All(t) {
		for _, block := range doctest.Fenced(text, "yaml") {
			seen++
			if err := doctest.Fits(t, schema, block); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, block)
			}
		}
	}
	if seen < 7 {
		t.Errorf("only %d configurations were found: the search is broken", seen)
	}
}

// What relay refuses because it does not know a key, the schema refuses too.
func TestConfigSchemaKnowsTheKeys(t *testing.T) {
	schema := doctest.Schema(t)
	seen := 0
	for _, test := range faultyFiles() {
		if strings.Contains(strings.Join(test.want, "\n"), ": unknown key;") {
			seen++
			if doctest.Fits(t, schema, test.text) == nil {
				t.Errorf("%s: the schema takes\n%s", test.name, test.text)
			}
		}
	}
	if seen < 3 {
		t.Errorf("only %d files have an unknown key: the search is broken", seen)
	}
	for key := range documentedKeys(t) {
		path, kind, _ := strings.Cut(key, " of type ")
		steps := strings.Split(path, ".")
		text := "x: y"
		for _, step := range slices.Backward(steps[:len(steps)-1]) {
			switch step {
			case "NAME":
				text = "mine: {provider: treatstream, type: " + cmp.Or(kind, "stdout") + ", " + text + "}"
			default:
				text = step + ": {" + text + "}"
			}
		}
		if len(steps) > 1 && doctest.Fits(t, schema, text) == nil {
			t.Errorf("beside %s the schema takes %s", key, text)
		}
	}
}

// The schema judges values as relay does.
func TestConfigSchemaOfValues(t *testing.T) {
	getenv := inConfigDir(t)
	schema := doctest.Schema(t)
	for _, test := range []struct {
		text string
		good bool
	}{
		{"accounts: {a: {provider: treatstream, client_id: 4711, client_secret: '${SECRET}', protocol: 3, keep_raw: true, reconcile: 'off'}}", true},
		{"accounts: {a: {provider: treatstream, client_id: '007', client_secret: x, protocol: '4', keep_raw: 'false', reconcile: 1h30m}}", true},
		{"accounts: {a: {provider: treatstream, client_id: x, client_secret: x, keep_raw: '${TRUE}', endpoints: }}", true},
		{"accounts: {a: {provider: treatstream, client_id: x, client_secret: x, keep_raw: yes}}", false},
		{"accounts: {a: {provider: treatstream, client_id: x, client_secret: x, protocol: 5}}", false},
		{"accounts: {a: {provider: treatstream, client_id: x, client_secret: x, reconcile: on}}", false},
		{"accounts: {a: {provider: treatstream, client_id: [x], client_secret: x}}", false},
		{"accounts: {a: {provider: treatstram, client_id: x, client_secret: x}}", false},
		{"accounts: {a: {client_id: x, client_secret: x}}", false},
		{"accounts: {A: {provider: treatstream, client_id: x, client_secret: x}}", false},
		{"accounts: ", true},
		{"accounts: []", false},
		{"sinks: {o: {type: stdout, hide_sender: hash, concurrency: 3, rate_limit: 5/s, retry: {initial: 1.5s, max: 1m}}}", true},
		{"sinks: {o: {type: stdout, hide_sender: false, retry: }}", true},
		{"sinks: {o: {type: stdout, concurrency: 0}}", false},
		{"sinks: {o: {type: stdout, rate_limit: 5}}", false},
		{"sinks: {o: {type: stdout, retry: {initial: 5}}}", false},
		{"sinks: {o: {type: stdout, url: 'https://h/'}}", false},
		{"sinks: {o: {}}", false},
		{"sinks: {o: }", false},
		{"sinks: {o: {type: webhook, url: 'https://h/', secrets: ['${SIGNING}'], headers: {X-A: 1}}}", true},
		{"sinks: {o: {type: webhook, secret: '${SIGNING}'}}", false},
		{"sinks: {o: {type: discord}}", false},
		{"journal: {retention: '${RETENTION}'}", true},
		{"journal: {retention: 5}", false},
	} {
		err := doctest.Fits(t, schema, test.text)
		if _, loaded := load(t, test.text, getenv); test.good != (loaded == nil) {
			t.Errorf("LoadConfig says %v of %s", loaded, test.text)
		}
		if test.good != (err == nil) {
			t.Errorf("the schema says %v of %s", err, test.text)
		}
	}
}

// The words that the documentation lists are the words that relay takes.
func TestConfigSchemaHasEveryWord(t *testing.T) {
	words := func(key string) []string {
		t.Helper()
		all := alternatives(documentedKeys(t)[key])
		slices.Sort(all)
		return all
	}
	var providers []string
	for _, p := range provider.All() {
		providers = append(providers, p.Name)
	}
	for key, want := range map[string][]string{
		"accounts.NAME.provider": providers, "sinks.NAME.type": sinks.Types(),
		"accounts.NAME.body_style":          {string(provider.Form), string(provider.JSON), string(provider.Query)},
		"accounts.NAME.method":              {"GET", "POST"},
		"accounts.NAME.redirect_parameter":  {"redirect_uri", "redirect_url"},
		"sinks.NAME.method of type webhook": {"PATCH", "POST", "PUT"},
	} {
		slices.Sort(want)
		if got := words(key); !slices.Equal(got, want) {
			t.Errorf("docs/config.md lists %q for %s, want %q", got, key, want)
		}
	}
	account, sink := defaultAccount(), defaultSink()
	for prefix, v := range map[string]reflect.Value{
		"accounts.NAME.": reflect.ValueOf(&account).Elem(), "sinks.NAME.": reflect.ValueOf(&sink).Elem(),
	} {
		for key, field := range fieldsOf(v) {
			w, ok := reflect.TypeAssert[interface{ wanted() string }](field)
			doc := documentedKeys(t)[prefix+key]
			if !ok || len(alternatives(doc)) == 0 || field.Type() == reflect.TypeFor[rateLimit]() {
				continue
			}
			want := regexp.MustCompile(`, | or `).Split(w.wanted(), -1)
			slices.Sort(want)
			if got := words(prefix + key); !slices.Equal(got, want) {
				t.Errorf("docs/config.md lists %q for %s, and errors say %q", got, prefix+key, want)
			}
			fresh := reflect.New(field.Type()).Elem()
			if err := setScalar(fresh, strings.Trim(doc.fallback, "`")); err != nil || fresh.Interface() != field.Interface() {
				t.Errorf("docs/config.md says that the default of %s is %s, it is %v", prefix+key, doc.fallback, field.Interface())
			}
		}
	}
}
