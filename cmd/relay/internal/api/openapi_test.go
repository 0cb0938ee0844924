package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/problem"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

type object = map[string]any

// docs/openapi.json is what the operations and their types say.
func TestOpenAPI(t *testing.T) {
	const path = "../../../../docs/openapi.json"
	want, err := json.MarshalIndent(openAPI(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/openapi.json is stale; write it again with: go test ./cmd/relay/internal/api -run TestOpenAPI -update")
	}
}

// components collects the schemas of types by their names.
type components struct {
	t       *testing.T
	schemas object
}

func (c *components) schema(v any) object {
	c.t.Helper()
	if typ := reflect.TypeOf(v); typ.Kind() == reflect.Slice {
		return object{"type": "array", "items": c.schema(reflect.Zero(typ.Elem()).Interface())}
	}
	reflector := jsonschema.Reflector{AllowAdditionalProperties: true, Mapper: func(typ reflect.Type) *jsonschema.Schema {
		switch typ {
		case reflect.TypeFor[api.Line](), reflect.TypeFor[json.RawMessage]():
			return &jsonschema.Schema{Type: "object"}
		case reflect.TypeFor[api.Values]():
			return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "null"}}}}
		case reflect.TypeFor[time.Duration]():
			return &jsonschema.Schema{Type: "integer"}
		}
		return nil
	}}
	data, err := json.Marshal(reflector.Reflect(v))
	if err != nil {
		c.t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte(`"#/$defs/`), []byte(`"#/components/schemas/`))
	var whole struct {
		Ref  string `json:"$ref"`
		Defs object `json:"$defs"`
	}
	if err := json.Unmarshal(data, &whole); err != nil {
		c.t.Fatal(err)
	}
	for name, schema := range whole.Defs {
		if was, ok := c.schemas[name]; ok && !reflect.DeepEqual(was, schema) {
			c.t.Errorf("two types have the name %s", name)
		}
		c.schemas[name] = schema
	}
	return object{"$ref": whole.Ref}
}

func openAPI(t *testing.T) object {
	t.Helper()
	c := &components{t, object{}}
	paths := object{}
	for _, o := range api.Operations() {
		at, _ := paths[o.Path].(object)
		if at == nil {
			at = object{}
			paths[o.Path] = at
		}
		at[strings.ToLower(o.Method)] = c.operation(&o)
	}
	c.schema(api.LastLine{})
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "relay", "version": "v1", "description": "The local API of relay, see docs/api.md."},
		"servers": []any{object{"url": api.Root}},
		"paths":   paths, "components": object{"schemas": c.schemas},
	}
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func (c *components) operation(o *api.Operation) object {
	content := func(media string, schema object) object { return object{media: object{"schema": schema}} }
	params := []any{}
	for _, m := range pathParam.FindAllStringSubmatch(o.Path, -1) {
		params = append(params, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range o.Params {
		schema := map[string]object{
			"string": {"type": "string"}, "time": {"type": "string", "format": "date-time"}, "number": {"type": "integer", "minimum": 0}, "flag": {"type": "boolean"},
		}[p.Kind]
		if schema == nil {
			c.t.Errorf("parameter %s of %s has the kind %q", p.Name, o.Path, p.Kind)
		}
		if p.Repeated {
			schema = object{"type": "array", "items": schema}
		}
		params = append(params, object{"name": p.Name, "in": "query", "description": p.About, "schema": schema})
	}
	success := object{"description": http.StatusText(http.StatusOK)}
	status := "200"
	switch {
	case o.Stream:
		params = append(params, object{"name": "Last-Event-ID", "in": "header", "description": "the number behind which the stream goes on", "schema": object{"type": "string"}})
		success["content"] = content(api.MediaEvents, object{"type": "string"})
		success["description"] = "what the page of an overlay is told"
		if o.Path != "/events" {
			break
		}
		success["description"] = "id is the number of an event, data the CloudEvent. The first one has the type " + api.StreamPosition +
			" and says where the stream begins; one of the type " + api.StreamProblem + " says why it ends."
	case o.File:
		success["content"] = content("*/*", object{"type": "string", "format": "binary"})
	case o.Answer == nil:
		status, success["description"] = "204", "done"
	case o.Lines:
		success["description"] = "one object a line; the last line is a LastLine"
		success["content"] = content(api.MediaLines, c.schema(o.Answer))
	default:
		success["content"] = content("application/json", c.schema(o.Answer))
	}
	op := object{
		"summary": o.Summary, "parameters": params, "x-role": o.Role.String(),
		"responses": object{status: success, "default": object{"description": "why it failed", "content": content(problem.MediaType, c.schema(api.Problem{}))}},
	}
	if o.Request != nil {
		op["requestBody"] = object{"required": true, "content": content("application/json", c.schema(o.Request))}
	}
	return op
}
