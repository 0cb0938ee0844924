package config

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

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
	Minimum       *int                   `json:"minimum,omitempty"`
	Maximum       *int                   `json:"maximum,omitempty"`
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

// A schemaWriter writes the JSON Schema of a configuration from its keys.
type schemaWriter struct {
	source *source
	defs   map[string]*schemaNode
}

const (
	blobURL   = "https://github.com/treatrelay/relay/blob/main/docs/"
	duration  = `([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+`
	aVariable = `\$\{`
)

// schemaText returns docs/relay.schema.json.
func schemaText(t *testing.T, s *source) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	w := &schemaWriter{s, make(map[string]*schemaNode)}
	if err := e.Encode(w.schema()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (w *schemaWriter) schema() *schemaNode {
	root := w.section("", reflect.ValueOf(defaults()))
	root.Schema, root.ID, root.Type = "https://json-schema.org/draft/2020-12/schema", relaydocs.ConfigSchemaURL, "object"
	root.Title, root.Description = "relay.yaml", "The configuration of relay, described in "+blobURL+"config.md"
	w.defs["text"] = &schemaNode{Type: []string{"string", "number", "boolean"}}
	w.defs["variable"] = &schemaNode{Type: "string", Pattern: aVariable}
	root.Defs = w.defs
	return root
}

// section returns the schema of the section at a path.
func (w *schemaWriter) section(path string, section reflect.Value) *schemaNode {
	n := &schemaNode{Type: []string{"object", "null"}, Properties: make(map[string]any), Additional: false}
	keys := keysByName(section)
	for _, k := range keysOf(section) {
		at := strings.TrimPrefix(path+"."+k.name, ".")
		switch {
		case k.value.Type() == reflect.TypeFor[map[string]Account]():
			w.defs["account"] = w.section(at+".NAME", reflect.ValueOf(defaultAccount()))
			n.Properties[k.name] = w.named("account", k)
		case k.value.Type() == reflect.TypeFor[map[string]Sink]():
			w.sinks(at + ".NAME")
			n.Properties[k.name] = w.named("sink", k)
		case k.value.Type() == reflect.TypeFor[map[string]Overlay]():
			w.defs["overlay"] = w.section(at+".NAME", reflect.ValueOf(defaultOverlay()))
			n.Properties[k.name] = w.named("overlay", k)
		case isSection(k.value.Type()):
			inner := w.section(at, k.value)
			inner.Description = plainText(w.source.paragraphs(k)[0])
			n.Properties[k.name] = inner
		default:
			doc := w.source.doc(at, k)
			n.Properties[k.name] = w.value(k, doc)
			if _, ok := keys[k.name+"_file"]; doc.initial == "required" && ok {
				n.AnyOf = []*schemaNode{{Required: []string{k.name}}, {Required: []string{k.name + "_file"}}}
			} else if doc.initial == "required" {
				n.Required = append(n.Required, k.name)
			}
		}
	}
	if n.Required != nil {
		n.Type = "object"
	}
	return n
}

// named returns the schema of a section that maps names to what a definition describes.
func (w *schemaWriter) named(definition string, k key) *schemaNode {
	return &schemaNode{
		Type: []string{"object", "null"}, Description: plainText(w.source.paragraphs(k)[0]),
		PropertyNames: &schemaNode{Pattern: ValidName.String()}, Additional: &schemaNode{Ref: "#/$defs/" + definition},
	}
}

// sinks defines a sink: the keys of every sink, and those that depend on its type.
func (w *schemaWriter) sinks(path string) {
	all := w.section(path, reflect.ValueOf(defaultSink()))
	all.Additional = nil
	w.defs["sink"] = all
	for _, name := range sinks.Types() {
		config := reflect.ValueOf(sinks.NewConfig(name)).Elem()
		one := w.section(path, config)
		about, _ := strings.CutPrefix(paragraphs(w.source.typeSpec(config.Type()).Doc)[0], "Config configures ")
		one.Type, one.Description = "object", strings.ToUpper(about[:1])+about[1:]
		for key := range all.Properties {
			one.Properties[key] = true
		}
		w.defs["sink_"+name] = one
		all.AllOf = append(all.AllOf, &schemaNode{
			If:   &schemaNode{Properties: map[string]any{"type": &schemaNode{Const: name}}, Required: []string{"type"}},
			Then: &schemaNode{Ref: "#/$defs/sink_" + name},
		})
	}
}

// value returns the schema of a key that is not a section. Its value may be a variable.
func (w *schemaWriter) value(k key, doc keyDoc) *schemaNode {
	n := &schemaNode{Description: description(k, doc)}
	if m := regexp.MustCompile("^`([^`]+)`$").FindStringSubmatch(doc.initial); m != nil {
		n.Default = native(m[1])
	}
	t := k.value.Type()
	text, variable := &schemaNode{Ref: "#/$defs/text"}, &schemaNode{Ref: "#/$defs/variable"}
	custom, hasPattern := reflect.TypeAssert[interface{ pattern() string }](k.value)
	words := wordsOf(t)
	if t.Kind() == reflect.Bool {
		words = []string{"true", "false"}
	}
	switch {
	case words != nil:
		n.AnyOf = append(anyWord(words), variable)
	case t.Kind() == reflect.Slice:
		n.Type, n.Items = "array", text
		if words := wordsOf(t.Elem()); words != nil {
			n.Items = &schemaNode{AnyOf: append(anyWord(words), variable)}
		}
	case t.Kind() == reflect.Map:
		n.Type, n.Additional = []string{"object", "null"}, text
	case t == reflect.TypeFor[time.Duration]() && k.tag.Get("off") != "":
		n.AnyOf = []*schemaNode{{Type: "string", Pattern: "^" + duration + "$"}, {Enum: []any{"off"}}, variable}
	case t == reflect.TypeFor[time.Duration]():
		n.Type, n.Pattern = "string", "^"+duration+"$|"+aVariable
	case hasPattern:
		n.Type, n.Pattern = "string", "^"+custom.pattern()+"$|"+aVariable
	case t.Kind() == reflect.Int:
		n.AnyOf = []*schemaNode{w.number(k), {Type: "string", Pattern: `^[0-9]+$`}, variable}
	default:
		n.Ref = text.Ref
	}
	return n
}

// number returns the schema of a number in the range of a key.
func (w *schemaWriter) number(k key) *schemaNode {
	n := &schemaNode{Type: "integer"}
	for name, limit := range map[string]**int{"min": &n.Minimum, "max": &n.Maximum} {
		if text := k.tag.Get(name); text != "" {
			value, err := strconv.Atoi(text)
			if err != nil {
				w.source.t.Errorf("the tag %s of %s: %v", name, k.name, err)
			}
			*limit = &value
		}
	}
	return n
}

// anyWord returns schemas of which one allows each word, in the type that an editor reads it as and as text.
func anyWord(words []string) []*schemaNode {
	all := &schemaNode{}
	var quoted []string
	for _, word := range words {
		all.Enum = append(all.Enum, native(word))
		if native(word) != word {
			quoted = append(quoted, word)
		}
	}
	if quoted == nil {
		return []*schemaNode{all}
	}
	return []*schemaNode{all, {Type: "string", Pattern: "^(" + strings.Join(quoted, "|") + ")$"}}
}

// description returns the meaning of a key, with its value and its default where the schema cannot express them.
func description(k key, doc keyDoc) string {
	text := doc.meaning
	if wordsOf(k.value.Type()) == nil && k.value.Kind() != reflect.Bool {
		text += " Value: " + doc.value + "."
	}
	switch {
	case strings.HasPrefix(doc.initial, "required"):
		text += " R" + doc.initial[1:] + "."
	case doc.initial != "" && !strings.HasPrefix(doc.initial, "`"):
		text += " Default: " + doc.initial + "."
	}
	return plainText(text)
}

var docLink = regexp.MustCompile(`\[([^]]+)\]\(([^)]+)\)`)

// plainText writes out the links of a text.
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
