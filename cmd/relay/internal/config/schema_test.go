package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
)

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
	for _, table := range newSource(t).tables() {
		kind, _ := strings.CutPrefix(table.name, "sinks of type ")
		for _, key := range table.keys {
			steps := strings.Split(key.path, ".")
			text := "x: y"
			for _, step := range slices.Backward(steps[:len(steps)-1]) {
				switch step {
				case "NAME":
					text = "mine: {provider: treatstream, type: " + kind + ", " + text + "}"
				default:
					text = step + ": {" + text + "}"
				}
			}
			if kind == table.name {
				text = strings.Replace(text, "type: "+kind, "type: stdout", 1)
			}
			if doctest.Fits(t, schema, text) == nil {
				t.Errorf("beside %s the schema takes %s", key.path, text)
			}
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
		{"overlays: {main: {theme: pop, widgets: [ticker], volume: 0, merge_after: 0, max_age: 'off', pictures: {pizza: a.png}}}", true},
		{"overlays: {main: , other: {goal: {count: 5}, position: }}", true},
		{"overlays: {main: {theme: neon}}", false},
		{"overlays: {main: {widgets: [poll]}}", false},
		{"overlays: {main: {volume: 101}}", false},
		{"overlays: {Main: {}}", false},
		{"http: {listen: 'off', public_url: 'https://h', password_file: ok, tls: {cert_file: ok, key_file: ok}}", true},
		{"http: {tls: {cert: ok}}", false},
		{"http: {trusted_proxies: [127.0.0.1, 10.0.0.0/8, 'fd00::/8']}", true},
		{"http: {trusted_proxies: 127.0.0.1}", false},
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

// Every word of a key is one that relay and the schema take.
func TestEveryWord(t *testing.T) {
	seen := 0
	eachKey(func(path string, k key) {
		for _, word := range wordsOf(k.value.Type()) {
			seen++
			fresh := reflect.New(k.value.Type()).Elem()
			if err := setScalar(fresh, word, k.tag); err != nil {
				t.Errorf("%s does not take %q: %v", path, word, err)
			}
			if written := newDecoder("relay.yaml", nil).shownValue(path, fresh, k.tag); fmt.Sprint(written) != word {
				t.Errorf("%s: the word %q is shown as %v", path, word, written)
			}
		}
	})
	if seen < 30 {
		t.Errorf("only %d words are found", seen)
	}
}
