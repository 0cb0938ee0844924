package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/pipeline"
)

// events decodes the lines of a sink. Each must match the published schema.
func events(t *testing.T, of []string) []pipeline.Event {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../docs/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]pipeline.Event, 0, len(of))
	for _, line := range of {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err == nil {
			err = schema.Validate(value)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		e, err := pipeline.Record{Line: []byte(line)}.Event()
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, e)
	}
	return all
}

// holds waits until a sink has the titles first..last-1, each once and in order.
func holds(t *testing.T, name string, sink *lines, first, last int) {
	t.Helper()
	eventually(t, func() error {
		if got := len(sink.get()); got < last-first {
			return fmt.Errorf("%s has %d events, want %d", name, got, last-first)
		}
		return nil
	})
	got := events(t, sink.get())
	if len(got) != last-first {
		t.Errorf("%s has %d events, want %d", name, len(got), last-first)
	}
	for i, e := range got {
		if i < last-first && *e.Data.Title != title(first+i) {
			t.Fatalf("%s: event %d is %q, want %q", name, i, *e.Data.Title, title(first+i))
		}
	}
}

func titlesOf(t *testing.T, of []string) (titles []string) {
	t.Helper()
	for _, e := range events(t, of) {
		titles = append(titles, *e.Data.Title)
	}
	return titles
}

// compare checks that got is want, in order. With again, events delivered before the kill may appear once more.
func compare(t *testing.T, name string, got, want []string, again bool) {
	t.Helper()
	if !again {
		if !slices.Equal(got, want) {
			t.Errorf("%s has %d events, the journal %d, or in another order", name, len(got), len(want))
		}
		return
	}
	seen := map[string]bool{}
	var first []string // deliveries without the repeats
	for _, title := range got {
		if !seen[title] {
			first = append(first, title)
		}
		seen[title] = true
	}
	if !slices.Equal(first, want) {
		t.Errorf("%s has %d different events, the journal %d, or in another order", name, len(first), len(want))
	}
	t.Logf("%s: %d events, %d of them delivered again", name, len(got), len(got)-len(first))
}

// checkReplays checks that got are replays of the events before.
func checkReplays(t *testing.T, got, before []pipeline.Event) {
	t.Helper()
	before = slices.Clone(before)
	for i := range before {
		before[i].Origin = pipeline.OriginReplay
	}
	if diff := cmp.Diff(got, before); diff != "" {
		t.Fatalf("not the events that came before (-got +want):\n%s", diff)
	}
}
