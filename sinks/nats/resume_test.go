package nats_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/natsserver"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

const overlayPassword = "planted-overlay-password"

// ownServer is relay's own server on a folder, with its sink, and an overlay.
type ownServer struct {
	server  *natsserver.Server
	sink    pipeline.Sink
	overlay jetstream.JetStream
	stop    func()
}

func startOwn(t *testing.T, dir string) *ownServer {
	t.Helper()
	server, err := natsserver.Start(t.Context(), natsserver.Config{
		Dir: dir, Listen: "127.0.0.1:0", OverlayUser: "overlay", OverlayPassword: secret.New(overlayPassword), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := sinks.Open(t.Context(), sinks.NewConfig("nats"), sinks.Env{Name: "overlay", NATS: server.Connect, NATSStore: server})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(server.URL(), nats.UserInfo("overlay", overlayPassword))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	o := &ownServer{server: server, sink: sink, overlay: js}
	stopped := false
	o.stop = func() {
		if !stopped {
			stopped = true
			nc.Close()
			_ = sink.Close()
			server.Close()
		}
	}
	t.Cleanup(o.stop)
	return o
}

// last asks the sink where its lane goes on.
func (o *ownServer) last(t *testing.T) (number uint64, ok bool) {
	t.Helper()
	number, id, ok, err := o.sink.(pipeline.Resumer).LastAccepted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("trt_mystream_%04d", number-1); ok && id != want {
		t.Errorf("the id of number %d is %s", number, id)
	}
	return number, ok
}

// purge empties the stream, as age does, durably.
func (o *ownServer) purge(t *testing.T, holds uint64) {
	t.Helper()
	nc, err := o.server.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.server.Sync(t.Context()); err != nil { // what is gone by age was synced long ago
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "TREATS")
	if err == nil {
		err = s.Purge(t.Context())
	}
	if err == nil {
		err = o.server.Sync(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	last, _, ok, err := o.sink.(pipeline.Resumer).LastAccepted(t.Context())
	if last != holds || !ok || err != nil {
		t.Errorf("the emptied stream held up to number %d (%v, %v), want %d", last, ok, err, holds)
	}
}

// received is what a durable overlay has got: the stream's number of a message, and the event.
type received struct {
	sequence uint64
	id       string
}

// consume takes n messages as a durable overlay does, and acknowledges them.
func (o *ownServer) consume(t *testing.T, n int) (all []received) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := o.overlay.CreateOrUpdateConsumer(ctx, "TREATS", jetstream.ConsumerConfig{Durable: "obs", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		t.Fatal(err)
	}
	for len(all) < n {
		batch, err := c.Fetch(min(n-len(all), 50), jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
			all = append(all, received{meta.Sequence.Stream, m.Headers().Get(jetstream.MsgIDHeader)})
		}
		if err := batch.Error(); err != nil {
			t.Fatalf("the overlay got %d of %d: %v", len(all), n, err)
		}
	}
	return all
}

// image copies a folder as it is, like a power cut at a moment at which everything was on disk.
func image(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for range 100 {
		err := os.CopyFS(to, os.DirFS(dir))
		if err == nil {
			return to
		}
		if !errors.Is(err, fs.ErrNotExist) { // a temporary file that was renamed meanwhile
			t.Fatal(err)
		}
		to = t.TempDir()
	}
	t.Fatal("no copy")
	return ""
}

// replace puts one file or folder of a store in the place of another's; an absent one removes it.
func replace(t *testing.T, to, from, name string) {
	t.Helper()
	target := filepath.Join(to, filepath.FromSlash(name))
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(from, filepath.FromSlash(name))
	info, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err == nil && info.IsDir():
		err = os.CopyFS(target, os.DirFS(source))
	case err == nil:
		var data []byte
		if data, err = os.ReadFile(source); err == nil {
			err = os.WriteFile(target, data, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

const streamDir = "jetstream/RELAY/streams/TREATS"

// TestNATSPowerCut leaves of what was not synced less than a durable overlay had acknowledged. Whatever is left, the overlay must get every
// event that follows, and a number of the stream must never mean two events to it.
func TestNATSPowerCut(t *testing.T) {
	for name, c := range map[string]struct {
		cut  func(t *testing.T, old, now string) string // what is left, of an old and a present image
		last uint64                                     // what the sink finds; 0: it cannot know
	}{
		"kill -9":              {func(_ *testing.T, _, now string) string { return now }, 30},
		"everything goes back": {func(_ *testing.T, old, _ string) string { return old }, 20},
		"the messages go back, the consumer does not": {func(t *testing.T, old, now string) string {
			replace(t, now, old, streamDir+"/msgs")
			replace(t, now, old, "synced.json")
			return now
		}, 20},
		"the messages go back, their index is lost": {func(t *testing.T, old, now string) string {
			replace(t, now, old, streamDir+"/msgs")
			replace(t, now, t.TempDir(), streamDir+"/msgs/index.db")
			replace(t, now, old, "synced.json")
			return now
		}, 20},
		"the consumer goes back, the messages do not": {func(t *testing.T, old, now string) string {
			replace(t, now, old, streamDir+"/obs")
			replace(t, now, old, "synced.json")
			return now
		}, 30},
		"the last message is torn": {func(t *testing.T, old, now string) string {
			block := filepath.Join(now, filepath.FromSlash(streamDir+"/msgs/1.blk"))
			info, err := os.Stat(block)
			if err == nil {
				err = os.Truncate(block, info.Size()-100)
			}
			if err != nil {
				t.Fatal(err)
			}
			replace(t, now, t.TempDir(), streamDir+"/msgs/index.db")
			replace(t, now, old, "synced.json")
			return now
		}, 29},
		"no message is left, for the older ones are gone by age": {func(t *testing.T, old, now string) string {
			replace(t, now, old, streamDir+"/msgs")
			replace(t, now, old, "synced.json")
			return now
		}, 20},
		"the stream is lost": {func(t *testing.T, _, now string) string {
			replace(t, now, t.TempDir(), streamDir)
			return now
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			own := startOwn(t, dir)
			if _, ok := own.last(t); ok {
				t.Error("a new stream cannot tell what it has accepted")
			}
			records := sinktest.Plain("mystream", 50)
			lane(t, own.sink, records[:20])
			if err := own.server.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := own.consume(t, 10)
			if strings.Contains(name, "gone by age") {
				got = append(got, own.consume(t, 10)...)
				own.purge(t, 20)
			}
			old := image(t, dir)
			lane(t, own.sink, records[20:30])
			got = append(got, own.consume(t, 30-len(got))...)
			now := image(t, dir)
			own.stop()

			own = startOwn(t, c.cut(t, old, now))
			last, ok := own.last(t)
			if last != c.last || ok != (c.last > 0) {
				t.Fatalf("the stream holds up to number %d (%v), want %d", last, ok, c.last)
			}
			if !ok {
				last = 30 // the lane goes by its cursor
			}
			lane(t, own.sink, records[last:40])
			lane(t, own.sink, records[40:])
			meaning := map[uint64]string{}
			for _, r := range got {
				meaning[r.sequence] = r.id
			}
			next := map[string]bool{}
			for !next[records[49].ID] {
				for _, r := range own.consume(t, 1) {
					if was, ok := meaning[r.sequence]; ok && was != r.id {
						t.Fatalf("number %d was %s and is %s", r.sequence, was, r.id)
					}
					meaning[r.sequence] = r.id
					next[r.id] = true
				}
			}
			for _, r := range records[30:] {
				if !next[r.ID] {
					t.Errorf("the overlay did not get %s", r.ID)
				}
			}
			if last, ok := own.last(t); last != 50 || !ok {
				t.Errorf("at the end the stream holds up to number %d (%v)", last, ok)
			}
		})
	}
}

// TestNATSPowerCutLeavesAHole simulates a power failure that loses a file of the stream but not the next one.
func TestNATSPowerCutLeavesAHole(t *testing.T) {
	dir := t.TempDir()
	own := startOwn(t, dir)
	var records []pipeline.Record
	for i := range 500 {
		records = append(records, sinktest.Record("mystream", i, strings.Repeat("x", 50_000)))
	}
	lane(t, own.sink, records[:20])
	if err := own.server.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	note := image(t, dir)
	lane(t, own.sink, records[20:])
	now := image(t, dir)
	own.stop()
	replace(t, now, note, "synced.json")
	replace(t, now, t.TempDir(), streamDir+"/msgs/2.blk")
	replace(t, now, t.TempDir(), streamDir+"/msgs/index.db")

	own = startOwn(t, now)
	last, ok := own.last(t)
	if last != 20 || !ok {
		t.Fatalf("the stream holds all up to number %d (%v), want 20", last, ok)
	}
	before := own.consume(t, 1)
	lane(t, own.sink, records[last:])
	var got []string
	for _, r := range append(before, own.consume(t, len(records)-1)...) {
		got = append(got, r.id)
	}
	slices.Sort(got)
	for i, r := range records {
		if got[i] != r.ID {
			t.Fatalf("event %d is %s, want %s", i, got[i], r.ID)
		}
	}
	if err := own.server.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	own.stop()
	own = startOwn(t, now) // The hole is no news any more.
	if last, ok := own.last(t); !ok || last < 20 {
		t.Errorf("the stream holds up to number %d (%v)", last, ok)
	}
}
