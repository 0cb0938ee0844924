package nats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestNATSLastAccepted reads the end of streams that were filled in other ways.
func TestNATSLastAccepted(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	far := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	records := sinktest.Plain("mystream", 20)
	lane(t, far, records)
	if _, _, ok, err := far.(pipeline.Resumer).LastAccepted(t.Context()); ok || err != nil {
		t.Errorf("of a server that is not relay's own: %v, %v", ok, err)
	}

	own := startOwn(t, t.TempDir())
	nc, err := own.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, ok := own.last(t); ok { // which makes the stream
		t.Error("of a new stream it knows the end")
	}
	former := nats.NewMsg("treats.treatstream.mystream")
	former.Header.Set(jetstream.MsgIDHeader, "trt_former")
	if _, err := nc.RequestMsg(former, time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, ok := own.last(t); ok {
		t.Error("of a message without a number it knows the number")
	}
	lane(t, own.sink, records)
	if last, ok := own.last(t); last != 20 || !ok {
		t.Errorf("the stream holds up to number %d (%v), want 20", last, ok)
	}
	replay := records[3]
	replay.Seq, replay.Origin = 77, pipeline.OriginReplay
	lane(t, own.sink, []pipeline.Record{replay})
	number, id, ok, err := own.sink.(pipeline.Resumer).LastAccepted(t.Context())
	if number != 77 || id != records[3].ID || !ok || err != nil {
		t.Errorf("after a replay the stream ends with %d, %s (%v, %v)", number, id, ok, err)
	}
	own.purge(t, 77)

	gone := errors.New("nobody waits any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, _, _, err := own.sink.(pipeline.Resumer).LastAccepted(ctx); !errors.Is(err, gone) {
		t.Errorf("with an ended context: %v", err)
	}
	if err := own.sink.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := own.sink.(pipeline.Resumer).LastAccepted(t.Context()); err == nil {
		t.Error("a closed sink answers")
	}
}
