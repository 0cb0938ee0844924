package nats_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// A stream is looked at, and not made.
func TestLookAtStream(t *testing.T) {
	p := sinktest.NewProcess(t, "")
	p.Start(t)
	t.Cleanup(p.Kill)
	config := sinktest.NATSConfig(t, p.URL())
	server, info, err := config.Inspect(t.Context(), "overlay")
	if err != nil || info != nil || server != "nats://"+p.Address {
		t.Errorf("%q, %v, %v", server, info, err)
	}
	nc, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("stream %s was made", name)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"other.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Inspect(t.Context(), "overlay"); err == nil || !strings.Contains(err.Error(), "it does not accept treats.>") {
		t.Errorf("a stream of somebody else: %v", err)
	}
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, info, err := config.Inspect(t.Context(), "overlay"); err != nil || info == nil {
		t.Errorf("%v, %v", info, err)
	}
}
