package sinks_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// attempts keeps what a sink takes down.
type attempts struct {
	mu  sync.Mutex
	all []pipeline.Attempt
}

func (a *attempts) add(one pipeline.Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, one)
}

// take returns what came since the last call.
func (a *attempts) take() []pipeline.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.all
	a.all = nil
	return all
}

// wantAttempt checks the only attempt of a delivery: these events, at that endpoint, and an error that says so, or none.
func wantAttempt(t *testing.T, got []pipeline.Attempt, records []pipeline.Record, endpoint, failure string) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("attempts %+v, want one", got)
	}
	a := got[0]
	if len(a.Events) != len(records) || a.Events[0] != records[0].ID || a.Events[len(a.Events)-1] != records[len(records)-1].ID {
		t.Errorf("attempt of %d events, want %d", len(a.Events), len(records))
	}
	if a.Endpoint != endpoint || a.Time.IsZero() || a.Latency <= 0 || (a.Error == "") != (failure == "") || !strings.Contains(a.Error, failure) {
		t.Errorf("attempt %+v, want one at %s with the error %q", a, endpoint, failure)
	}
}

func TestStdoutAttempts(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var taken attempts
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("stdout"), sinks.Env{Name: "console", Stdout: w, Attempt: taken.add})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	records := plain("mystream", 20)
	if n, err := sink.Deliver(t.Context(), records); n != 20 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	wantAttempt(t, taken.take(), records, "stdout", "")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := sink.Deliver(t.Context(), records); n != 0 || err == nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	wantAttempt(t, taken.take(), records[:1], "stdout", "broken pipe")
}

func TestNATSAttempts(t *testing.T) {
	p := running(t, "")
	var taken attempts
	sink, err := sinks.Open(t.Context(), natsConfig(t, p.url()), sinks.Env{Name: "overlay", Log: zerolog.Nop(), Attempt: taken.add})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	records := plain("mystream", 20)
	if n, err := sink.Deliver(t.Context(), records); n != 20 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	wantAttempt(t, taken.take(), records, "nats://"+p.address, "")
	p.kill()
	for n := 1; n > 0; { // what the server took before it died may still be answered
		n, err = sink.Deliver(t.Context(), records)
	}
	got := taken.take()
	wantAttempt(t, got[len(got)-1:], records[:1], "nats://"+p.address, "publish event")
	if strings.Contains(err.Error()+got[len(got)-1].Error, natsPassword) {
		t.Error("the password is in the attempt")
	}
}
