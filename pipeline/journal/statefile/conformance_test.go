package statefile

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/journaltest"
)

func TestStateConformance(t *testing.T) {
	journaltest.State(t, journaltest.StateEngine{
		NewLocation: func(t *testing.T) string { return t.TempDir() },
		Open: func(ctx context.Context, place string) (journal.State, error) {
			return Open(ctx, Options{Dir: place, Log: zerolog.New(t.Output())})
		},
		InFolder: true, OneProcess: true,
	})
}
