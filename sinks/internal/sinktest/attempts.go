package sinktest

import (
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/pipeline"
)

// Attempts keeps what a sink records.
type Attempts struct {
	mu  sync.Mutex
	all []pipeline.Attempt
}

// Add adds one, as a sink does.
func (a *Attempts) Add(one pipeline.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

// Take returns what came since the last call.
func (a *Attempts) Take() []pipeline.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// WantAttempt checks the only attempt of a delivery: these events, at that endpoint, and an error that says so, or none.
func WantAttempt(t *testing.T, got []pipeline.Attempt, records []pipeline.Record, endpoint, failure string) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("attempts %+v, want one", got)
	}
	a := got[0]
	if len(a.Events) != len(records) || a.Events[0] != records[0].ID || a.Events[len(a.Events)-1] != records[len(records)-1].ID {
		t.Errorf("attempt of %d events, want %d", len(a.Events), len(records))
	}
	if a.Account != records[0].Account {
		t.Errorf("attempt for the account %q, want %q", a.Account, records[0].Account)
	}
	if a.Endpoint != endpoint || a.Time.IsZero() || a.Latency <= 0 || (a.Error == "") != (failure == "") || !strings.Contains(a.Error, failure) {
		t.Errorf("attempt %+v, want one at %s with the error %q", a, endpoint, failure)
	}
}
