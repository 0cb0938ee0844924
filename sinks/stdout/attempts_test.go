package stdout_test

import (
	"os"
	"testing"

	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func TestStdoutAttempts(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var taken sinktest.Attempts
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("stdout"), sinks.Env{Name: "console", Stdout: w, Attempt: taken.Add})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	records := sinktest.Plain("mystream", 20)
	if n, err := sink.Deliver(t.Context(), records); n != 20 || err != nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	sinktest.WantAttempt(t, taken.Take(), records, "stdout", "")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := sink.Deliver(t.Context(), records); n != 0 || err == nil {
		t.Fatalf("Deliver = %d, %v", n, err)
	}
	sinktest.WantAttempt(t, taken.Take(), records[:1], "stdout", "broken pipe")
}
