package intake

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/pipeline"
)

// eventSchema is the published schema, with its formats checked.
func eventSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestEventsAreOfTheSchema(t *testing.T) {
	schema := eventSchema(t)
	for _, keepRaw := range []bool{false, true} {
		norm := Normalizer{Account: "my-stream_1", Provider: "treatstream", Location: time.UTC, KeepRaw: keepRaw}
		for _, payload := range []string{
			whole, `{"title":"a"}`, `{"title":"a","sender":""}`, `{"sender":7,"date_created":"never"}`, `{"message":"\u0000\u2028\ud800<b>&"}`,
			`{"title":"a","extra":[1]}`,
		} {
			one := decode(t, json.RawMessage(payload))
			e, _ := norm.normalize(&one, time.Now())
			e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), 3)
			line, err := e.Line()
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(line)))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("event of %s: %v", payload, err)
			}
		}
	}
}
