package config

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/doctest"

	relaydocs "github.com/treatrelay/relay/docs"

	"github.com/treatrelay/relay/sinks"
)

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
	return &schemaMaker{t: t, text: doctest.Read(t, "docs/config.md"), documented: documentedKeys(t), defs: make(map[string]*schemaNode)}
}

const (
	blobURL   = "https://github.com/treatrelay/relay/blob/main/docs/"
	duration  = `([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+`
	aVariable = `\$\{`
)

func (m *schemaMaker) schema() *schemaNode {
	keys := defaults()
	root := m.section(reflect.ValueOf(&keys).Elem(), "", "")
	root.Schema, root.ID, root.Type = "https://json-schema.org/draft/2020-12/schema", relaydocs.ConfigSchemaURL, "object"
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
		case field.Type() == reflect.TypeFor[map[string]Account]():
			account := defaultAccount()
			m.defs["account"] = m.section(reflect.ValueOf(&account).Elem(), path+".NAME", suffix)
			n.Properties[key] = m.named("account", "## Accounts")
		case field.Type() == reflect.TypeFor[map[string]Sink]():
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
		PropertyNames: &schemaNode{Pattern: ValidName.String()}, Additional: &schemaNode{Ref: "#/$defs/" + definition},
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
	if words := doctest.Code(doc.fallback); len(words) == 1 && doc.fallback == "`"+words[0]+"`" {
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
	case t == reflect.TypeFor[interval](), t == reflect.TypeFor[keepalive]():
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

// alternatives are the words a key may have as its value, if the documentation lists them.
func alternatives(d documentedKey) []string {
	if !regexp.MustCompile("^`[^`]+`(?:, `[^`]+`)* or `[^`]+`$").MatchString(d.value) {
		return nil
	}
	return doctest.Code(d.value)
}
