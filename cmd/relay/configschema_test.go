package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/auth"
	relaydocs "github.com/treatrelay/relay/docs"
	"github.com/treatrelay/relay/sinks"
)

var updateSchema = flag.Bool("update", false, "write docs/relay.schema.json anew")

const schemaFile = "../../docs/relay.schema.json"

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
	if diff := gocmp.Diff(relaydocs.ConfigSchema, b.String()); diff != "" {
		t.Errorf("docs/relay.schema.json is not what keys and docs/config.md say (-file +they); "+
			"run go test ./cmd/relay -run '^TestConfigSchema$' -update:\n%s", diff)
	}
}

// configSchema compiles the schema that relay prints.
func configSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(relaydocs.ConfigSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaURL, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// fitsSchema reads text as an editor would, and says what the schema has against it.
func fitsSchema(t *testing.T, schema *jsonschema.Schema, text string) error {
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

// Every configuration in the documentation fits the schema.
func TestConfigSchemaTakesTheDocumentation(t *testing.T) {
	schema := configSchema(t)
	seen := 0
	for name, text := range docs(t) {
		for _, block := range fenced(text, "yaml") {
			seen++
			if err := fitsSchema(t, schema, block); err != nil {
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
	schema := configSchema(t)
	seen := 0
	for _, test := range configErrors() {
		if strings.Contains(strings.Join(test.want, "\n"), ": unknown key;") {
			seen++
			if fitsSchema(t, schema, test.text) == nil {
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
		if len(steps) > 1 && fitsSchema(t, schema, text) == nil {
			t.Errorf("beside %s the schema takes %s", key, text)
		}
	}
}

// The schema judges values as relay does.
func TestConfigSchemaOfValues(t *testing.T) {
	getenv := inConfigDir(t)
	schema := configSchema(t)
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
		err := fitsSchema(t, schema, test.text)
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
	for _, p := range auth.Providers() {
		providers = append(providers, p.Name)
	}
	for key, want := range map[string][]string{
		"accounts.NAME.provider": providers, "sinks.NAME.type": sinks.Types(),
		"accounts.NAME.body_style":          {string(auth.Form), string(auth.JSON), string(auth.Query)},
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

// alternatives are the words a key may have as its value, if the documentation lists them.
func alternatives(d documentedKey) []string {
	if !regexp.MustCompile("^`[^`]+`(?:, `[^`]+`)* or `[^`]+`$").MatchString(d.value) {
		return nil
	}
	return code(d.value)
}

// A schemaNode is a part of a JSON Schema.
type schemaNode struct {
	Schema        string                 `json:"$schema,omitempty"`
	ID            string                 `json:"$id,omitempty"`
	Title         string                 `json:"title,omitempty"`
	Description   string                 `json:"description,omitempty"`
	Ref           string                 `json:"$ref,omitempty"`
	Type          any                    `json:"type,omitempty"`
	Const         string                 `json:"const,omitempty"`
	Enum          []any                  `json:"enum,omitempty"`
	Pattern       string                 `json:"pattern,omitempty"`
	Minimum       int                    `json:"minimum,omitempty"`
	Default       any                    `json:"default,omitempty"`
	Items         *schemaNode            `json:"items,omitempty"`
	Required      []string               `json:"required,omitempty"`
	AnyOf         []*schemaNode          `json:"anyOf,omitempty"`
	AllOf         []*schemaNode          `json:"allOf,omitempty"`
	If            *schemaNode            `json:"if,omitempty"`
	Then          *schemaNode            `json:"then,omitempty"`
	PropertyNames *schemaNode            `json:"propertyNames,omitempty"`
	Properties    map[string]any         `json:"properties,omitempty"` // of *schemaNode, or true
	Additional    any                    `json:"additionalProperties,omitempty"`
	Defs          map[string]*schemaNode `json:"$defs,omitempty"`
}

// A schemaMaker makes the schema of the types that decode a configuration, with the texts of docs/config.md.
type schemaMaker struct {
	t          *testing.T
	text       string
	documented map[string]documentedKey
	defs       map[string]*schemaNode
}

func newSchemaMaker(t *testing.T) *schemaMaker {
	return &schemaMaker{t: t, text: readDoc(t, "docs/config.md"), documented: documentedKeys(t), defs: make(map[string]*schemaNode)}
}

const (
	blobURL   = "https://github.com/treatrelay/relay/blob/main/docs/"
	duration  = `([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+`
	aVariable = `\$\{`
)

func (m *schemaMaker) schema() *schemaNode {
	keys := defaultConfig()
	root := m.section(reflect.ValueOf(&keys).Elem(), "", "")
	root.Schema, root.ID, root.Type = "https://json-schema.org/draft/2020-12/schema", schemaURL, "object"
	root.Title, root.Description = "relay.yaml", "The configuration of relay, described in "+blobURL+"config.md"
	m.defs["text"] = &schemaNode{Type: []string{"string", "number", "boolean"}}
	m.defs["variable"] = &schemaNode{Type: "string", Pattern: aVariable}
	root.Defs = m.defs
	return root
}

// section makes the schema of a struct. The keys of its fields begin with prefix in the documentation, and end with suffix.
func (m *schemaMaker) section(v reflect.Value, prefix, suffix string) *schemaNode {
	n := &schemaNode{Type: []string{"object", "null"}, Properties: make(map[string]any), Additional: false}
	for key, field := range fieldsOf(v) {
		path := strings.TrimPrefix(prefix+"."+key, ".")
		switch {
		case field.Type() == reflect.TypeFor[map[string]AccountConfig]():
			account := defaultAccount()
			m.defs["account"] = m.section(reflect.ValueOf(&account).Elem(), path+".NAME", suffix)
			n.Properties[key] = m.named("account", "## Accounts")
		case field.Type() == reflect.TypeFor[map[string]SinkConfig]():
			m.sinks(path + ".NAME")
			n.Properties[key] = m.named("sink", "## Sinks")
		case isSection(field.Type()):
			n.Properties[key] = m.section(field, path, suffix)
		default:
			doc, ok := m.documented[path+suffix]
			if !ok {
				m.t.Fatalf("docs/config.md lacks %s", path+suffix)
			}
			n.Properties[key] = m.value(field.Type(), doc)
			if _, ok := m.documented[path+"_file"+suffix]; doc.fallback == "required" && ok {
				n.AnyOf = []*schemaNode{{Required: []string{key}}, {Required: []string{key + "_file"}}}
			} else if doc.fallback == "required" {
				n.Required = append(n.Required, key)
			}
		}
	}
	if n.Required != nil {
		n.Type = "object"
	}
	return n
}

// named is a mapping from names of the operator's choice to what a definition says.
func (m *schemaMaker) named(definition, heading string) *schemaNode {
	return &schemaNode{
		Type: []string{"object", "null"}, Description: m.sentence(heading),
		PropertyNames: &schemaNode{Pattern: validName.String()}, Additional: &schemaNode{Ref: "#/$defs/" + definition},
	}
}

// sinks defines a sink: the keys that all have, and by the type those that only some have.
func (m *schemaMaker) sinks(prefix string) {
	keys := defaultSink()
	all := m.section(reflect.ValueOf(&keys).Elem(), prefix, "")
	all.Additional = nil
	m.defs["sink"] = all
	for _, name := range sinks.Types() {
		one := m.section(reflect.ValueOf(sinks.NewConfig(name)).Elem(), prefix, " of type "+name)
		one.Type, one.Description = "object", m.sentence("### Type "+name)
		for key := range all.Properties {
			one.Properties[key] = true
		}
		m.defs["sink_"+name] = one
		all.AllOf = append(all.AllOf, &schemaNode{
			If:   &schemaNode{Properties: map[string]any{"type": &schemaNode{Const: name}}, Required: []string{"type"}},
			Then: &schemaNode{Ref: "#/$defs/sink_" + name},
		})
	}
}

// value makes the schema of one value. Every one may be a variable.
func (m *schemaMaker) value(t reflect.Type, doc documentedKey) *schemaNode {
	n := &schemaNode{Description: m.description(doc)}
	if words := code(doc.fallback); len(words) == 1 && doc.fallback == "`"+words[0]+"`" {
		n.Default = native(words[0])
	}
	text := &schemaNode{Ref: "#/$defs/text"}
	variable := &schemaNode{Ref: "#/$defs/variable"}
	switch {
	case t.Kind() == reflect.Slice:
		n.Type, n.Items = "array", text
	case t.Kind() == reflect.Map:
		n.Type, n.Additional = []string{"object", "null"}, text
	case t == reflect.TypeFor[time.Duration]():
		n.Type, n.Pattern = "string", "^"+duration+"$|"+aVariable
	case t == reflect.TypeFor[interval]():
		n.AnyOf = []*schemaNode{{Type: "string", Pattern: "^" + duration + "$"}, {Enum: []any{"off"}}, variable}
	case t == reflect.TypeFor[rateLimit]():
		n.Type, n.Pattern = "string", `^[1-9][0-9]*/[smh]$|`+aVariable
	case t.Kind() == reflect.Int:
		n.AnyOf = []*schemaNode{{Type: "integer", Minimum: 1}, {Type: "string", Pattern: `^[1-9][0-9]*$`}, variable}
	case alternatives(doc) != nil:
		words := &schemaNode{}
		var quoted []string
		for _, word := range alternatives(doc) {
			words.Enum = append(words.Enum, native(word))
			if native(word) != word {
				quoted = append(quoted, word)
			}
		}
		n.AnyOf = []*schemaNode{words, variable}
		if quoted != nil {
			n.AnyOf = []*schemaNode{words, {Type: "string", Pattern: "^(" + strings.Join(quoted, "|") + ")$"}, variable}
		}
	default:
		n.Ref = text.Ref
	}
	return n
}

// native is a word as an editor's YAML parser reads it.
func native(word string) any {
	if n, err := strconv.Atoi(word); err == nil {
		return n
	}
	if word == "true" || word == "false" {
		return word == "true"
	}
	return word
}

var docLink = regexp.MustCompile(`\[([^]]+)\]\(([^)]+)\)`)

// description is the meaning of a key, with the kind of its value and its default where these are told in words only.
func (m *schemaMaker) description(doc documentedKey) string {
	text := strings.TrimSuffix(doc.meaning, ".") + "."
	if alternatives(doc) == nil {
		text += " Value: " + doc.value + "."
	}
	switch {
	case strings.Contains(doc.fallback, "required"):
		text += " " + doc.fallback + "."
	case doc.fallback != "" && !strings.HasPrefix(doc.fallback, "`"):
		text += " Default: " + doc.fallback + "."
	}
	for _, s := range regexp.MustCompile(`(?:^|\. )[a-z]`).FindAllString(text, -1) {
		text = strings.Replace(text, s, strings.ToUpper(s), 1)
	}
	return plainText(text)
}

// plainText writes the links of a text out.
func plainText(text string) string {
	return docLink.ReplaceAllStringFunc(text, func(link string) string {
		words := docLink.FindStringSubmatch(link)
		switch target := words[2]; {
		case strings.Contains(target, "://"):
			return words[1] + " (" + target + ")"
		case strings.HasPrefix(target, "#"):
			return words[1] + " (" + blobURL + "config.md" + target + ")"
		default:
			return words[1] + " (" + blobURL + target + ")"
		}
	})
}

// sentence is the first one under a heading.
func (m *schemaMaker) sentence(heading string) string {
	m.t.Helper()
	_, rest, ok := strings.Cut(m.text, "\n"+heading+"\n\n")
	if !ok {
		m.t.Fatalf("docs/config.md has no %s", heading)
	}
	paragraph, _, _ := strings.Cut(rest, "\n\n")
	first, _, _ := strings.Cut(strings.ReplaceAll(paragraph, "\n", " ")+" ", ". ")
	return plainText(strings.TrimSuffix(strings.TrimSpace(first), ".") + ".")
}
