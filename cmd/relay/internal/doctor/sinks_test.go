package doctor

import (
	"testing"

	"github.com/treatrelay/relay/sinks"
)

// TestDoctorChecksEveryTypeOfSink wants a check of each type, or the reason that there is none.
func TestDoctorChecksEveryTypeOfSink(t *testing.T) {
	for _, typ := range sinks.Types() {
		config := sinks.NewConfig(typ)
		_, checked := config.(sinkChecker)
		reason := ""
		if u, ok := config.(uncheckedSink); ok {
			reason = u.Unchecked()
		}
		switch {
		case !checked && reason == "":
			t.Errorf("relay doctor has no check of a sink of type %s, and no reason for that: give its configuration a method Check or Unchecked", typ)
		case checked && reason != "":
			t.Errorf("a sink of type %s has a check, and says why it has none: %s", typ, reason)
		}
	}
}
