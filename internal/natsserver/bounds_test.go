package natsserver_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natsserver"
)

// The stream has a limit of its size whoever made it, and goes on at it with the newest.
func TestBounds(t *testing.T) {
	s := start(t, t.TempDir())
	_, js := own(t, s)
	publish(t, js, 1)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		stream, err := js.Stream(t.Context(), natsserver.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if c := stream.CachedInfo().Config; c.MaxBytes > 0 && c.Discard == jetstream.DiscardOld {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the stream has no limit: %+v", c)
		}
	}
}
