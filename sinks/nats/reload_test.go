//go:build unix

package nats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// publisher is a login that may publish everything, and subscribe to these subjects.
func publisher(subscribe sinktest.Subjects) sinktest.User {
	return sinktest.User{
		Name: "relay", Password: sinktest.NATSPassword,
		Permissions: &sinktest.Permissions{Publish: &sinktest.Subjects{Allow: []string{">"}}, Subscribe: &subscribe},
	}
}

// withInbox may receive answers, withoutInbox may not.
func withInbox() sinktest.User { return publisher(sinktest.Subjects{Allow: []string{">"}}) }

func withoutInbox() sinktest.User { return publisher(sinktest.Subjects{Deny: []string{"_INBOX.>"}}) }

// TestNATSInboxDenied revokes the permission for the reply inbox for a while, twice.
func TestNATSInboxDenied(t *testing.T) {
	watcher := sinktest.User{Name: "watcher", Password: sinktest.NATSLimited}
	p := sinktest.RunningFor(t, withInbox(), watcher)
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, p.URL())
	natssink.SetAnswerTimeout(config, 2*time.Second)
	sink := openNATS(t, config, &log)
	records := sinktest.Plain("mystream", 40)
	lane(t, sink, records[:10])
	for round := range 2 {
		p.Reload(t, withoutInbox(), watcher)
		var refused error
		for deadline := time.Now().Add(time.Minute); refused == nil || !strings.Contains(refused.Error(), "ermission"); time.Sleep(20 * time.Millisecond) {
			n, err := sink.Deliver(t.Context(), records[10+10*round:20+10*round])
			if n == 0 {
				refused = err
			} else if time.Now().After(deadline) {
				t.Fatal("the refusal is not noticed")
			}
		}
		p.Reload(t, withInbox(), watcher)
		lane(t, sink, records[10+10*round:20+10*round])
	}
	lane(t, sink, records[30:])
	sameRecords(t, sinktest.Stored(t, p.Connect(t, "watcher", sinktest.NATSLimited), "TREATS"), records)
	// A server that is slow to reload may refuse the login for a moment: then the connection that follows is the end of the refusal.
	refusals, refused := 0, false
	for line := range strings.Lines(log.String()) {
		switch {
		case strings.Contains(line, "NATS does not accept events"):
			if refused {
				t.Error("a refusal was logged twice")
			}
			refusals, refused = refusals+1, true
		case strings.Contains(line, "NATS accepts events again"), strings.Contains(line, `"connected to NATS"`):
			refused = false
		}
	}
	if refusals != 2 || refused {
		t.Errorf("2 refusals were logged %d times; the last has an end: %t\n%s", refusals, !refused, log.String())
	}
}

// TestNATSInboxGone has the server take the inbox away and the client miss what it says of it: after some publishes without an answer the
// sink connects again.
func TestNATSInboxGone(t *testing.T) {
	p := sinktest.RunningFor(t, withInbox())
	var nc *nats.Conn
	config, ok := sinks.NewConfig("nats").(*natssink.Config)
	if !ok {
		t.Fatal("no nats configuration")
	}
	natssink.SetAnswerTimeout(config, time.Second)
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "overlay", NATS: func(context.Context) (*nats.Conn, error) {
		var err error
		nc, err = nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
		return nc, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	records := sinktest.Plain("mystream", 20)
	lane(t, sink, records[:10])
	refused := make(chan error, 16)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	p.Reload(t, withoutInbox())
	for i := 0; i < 1; {
		if errors.Is(<-refused, nats.ErrPermissionViolation) {
			i++
		}
	}
	p.Reload(t, withInbox())
	errs := lane(t, sink, records)
	if len(errs) == 0 || !strings.Contains(errs[0].Error(), "no answer in time") {
		t.Errorf("errors: %v", errs)
	}
	sameRecords(t, p.Stored(t, "TREATS"), records)
	if n := nc.Stats().Reconnects; n != 1 {
		t.Errorf("%d reconnects, want 1", n)
	}
}

// TestNATSStopsAnswering changes the stream to one that acknowledges nothing, and back.
func TestNATSStopsAnswering(t *testing.T) {
	p := sinktest.Running(t, "")
	_, js := sinktest.Client(t, p)
	foreign := jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}}
	if _, err := js.CreateStream(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	config := sinktest.NATSConfig(t, p.URL())
	natssink.SetAnswerTimeout(config, time.Second)
	var log sinktest.LockedBuffer
	sink := openNATS(t, config, &log)
	records := sinktest.Plain("mystream", 20)
	lane(t, sink, records[:10])
	mute := foreign
	mute.NoAck = true
	if _, err := js.UpdateStream(t.Context(), mute); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no answer in time", "turn its no_ack off"} {
		if n, err := sink.Deliver(t.Context(), records[10:]); n != 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("Deliver = %d, %v, want %q", n, err, want)
		}
	}
	if _, err := js.UpdateStream(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	lane(t, sink, records[10:])
	sameRecords(t, p.Stored(t, "TREATS"), records)
}
