package chattext

import (
	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/pipeline"
)

// AlertTitle returns what happened to a sink, as a title.
func AlertTitle(a pipeline.AlertData) string {
	what := string(a.Kind)
	switch a.Kind {
	case pipeline.AlertDown:
		what = "is down"
	case pipeline.AlertDisabled:
		what = "is disabled"
	case pipeline.AlertDeadLetter:
		what = "refused an event for good"
	case pipeline.AlertRecovered:
		what = "works again"
	}
	return displaytext.Clean("Sink "+a.Sink+" "+what, 1)
}
