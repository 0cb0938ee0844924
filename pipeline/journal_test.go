package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/secret"
)

func TestJournalKeepsOrderAndEverything(t *testing.T) {
	const n = 3000
	r := newRig(t, t.TempDir())
	r.send(r.intake("acc"), 0, n)
	r.count("relay_events_journaled_total", n)
	if diff := cmp.Diff(wantTitles(0, n), titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestExactRepeatsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	in := r.intake("acc")
	r.send(in, 7, 8)
	r.send(in, 7, 8)
	r.count("relay_events_journaled_total", 2)
	r.stop()

	r = newRig(t, dir)
	r.send(r.intake("acc"), 7, 8) // continues the count
	r.count("relay_events_journaled_total", 1)
	events := r.journaled("acc")
	if len(events) != 3 {
		t.Fatalf("%d events in the journal, want 3", len(events))
	}
	ids := map[string]bool{}
	for _, e := range events {
		ids[e.ID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d ids for 3 equal treats, want 3", len(ids))
	}
}

// Two relays on one account and one journal receive the same treats: each is journaled once.
func TestTwoRelaysJournalATreatOnce(t *testing.T) {
	r := newRig(t, t.TempDir())
	a, b := r.intake("acc"), r.intake("acc")
	r.send(a, 0, 50)
	r.send(b, 0, 50)
	r.count("relay_events_journaled_total", 50)
	r.count("relay_events_duplicate_total", 50)

	// The second one was away for a while and continues where the first one is, repeats included.
	r.send(a, 49, 51)
	r.count("relay_events_journaled_total", 52)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(a, 49, 50)
	r.send(b, 49, 50)
	r.count("relay_events_journaled_total", 53)
	r.count("relay_events_duplicate_total", 51)
}

func TestUndatedTreatsAreNeverTakenForRepeats(t *testing.T) {
	r := newRig(t, t.TempDir())
	for range 2 {
		in := r.intake("acc")
		if err := in.Handle(t.Context(), []json.RawMessage{json.RawMessage(`{"title":"Tea"}`)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	r.count("relay_events_journaled_total", 2)
}

// A batch with one known id is refused as a whole by the server; the rest of it must be journaled all the same, in order.
func TestBatchWithKnownIDs(t *testing.T) {
	r := newRig(t, t.TempDir())
	a, b := r.intake("acc"), r.intake("acc")
	r.send(a, 2, 3)
	r.send(a, 5, 6)
	r.count("relay_events_journaled_total", 2)
	if !r.journal.atomic {
		t.Fatal("the embedded server does not commit batches")
	}
	var batch []entry
	for n := range 8 {
		e := entryOf(t, r, b, n)
		batch = append(batch, e)
	}
	duplicates, err := r.journal.commit(t.Context(), batch, true)
	if err != nil {
		t.Fatal(err)
	}
	if want := []bool{false, false, true, false, false, true, false, false}; !slices.Equal(duplicates, want) {
		t.Errorf("duplicates %v, want %v", duplicates, want)
	}
	want := []string{"t000002", "t000005", "t000000", "t000001", "t000003", "t000004", "t000006", "t000007"}
	if diff := cmp.Diff(want, titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// entryOf makes the entry of the n-th treat without committing it.
func entryOf(t *testing.T, r *rig, in *Intake, n int) entry {
	t.Helper()
	scratch := &Journal{nc: r.conn, queue: make(chan entry, 1), metrics: r.journal.metrics}
	treats, err := decodeTreats(payload(n))
	if err != nil {
		t.Fatal(err)
	}
	e, _ := in.norm.normalize(&treats[0], time.Now())
	e.ID = NewID(e.Time, NewKey(&e.Data), 0)
	if err := scratch.append(t.Context(), &e, 0); err != nil {
		t.Fatal(err)
	}
	return <-scratch.queue
}

func TestPace(t *testing.T) {
	var p pace
	if got := p.batchFrom(); got != firstBatchFrom {
		t.Errorf("unmeasured: batches from %d, want %d", got, firstBatchFrom)
	}
	p.measured(4, false, 4*time.Millisecond)
	p.measured(100, true, 30*time.Millisecond)
	if got := p.batchFrom(); got != 31 {
		t.Errorf("1 ms a single and 30 ms a batch: batches from %d, want 31", got)
	}
	for range 100 {
		p.measured(1, false, 40*time.Millisecond) // the disk became slow
	}
	if got := p.batchFrom(); got != minBatchFrom {
		t.Errorf("a single slower than a batch: batches from %d, want %d", got, minBatchFrom)
	}
	for range 100 {
		p.measured(1, false, time.Microsecond)
	}
	if got := p.batchFrom(); got != maxBatchFrom {
		t.Errorf("singles far faster: batches from %d, want %d", got, maxBatchFrom)
	}
}

func TestRejectsAreKept(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	bad := []string{`null`, `"token-like text"`, `{"a":` + strings.Repeat("9", 300<<10) + `}`}
	for _, b := range bad {
		if err := in.Handle(t.Context(), []json.RawMessage{json.RawMessage(b)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Handle(t.Context(), nil, time.Now()); err != nil { // realTimeTreat without an argument
		t.Fatal(err)
	}
	r.send(in, 0, 1)
	r.count("relay_payloads_rejected_total", 4)
	r.count("relay_events_journaled_total", 1)

	sub, err := r.journal.js.OrderedConsumer(t.Context(), JournalStream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"relay.reject.acc"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := sub.Fetch(4, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var got []Reject
	for m := range batch.Messages() {
		var rej Reject
		if err := json.Unmarshal(m.Data(), &rej); err != nil {
			t.Fatal(err)
		}
		got = append(got, rej)
	}
	if len(got) != 4 {
		t.Fatalf("%d rejects kept, want 4", len(got))
	}
	for i, b := range bad {
		if got[i].Size != len(b) || got[i].Payload != b[:min(len(b), maxReject)] || got[i].Reason == "" || got[i].Account != "acc" {
			t.Errorf("reject %d: %d bytes, reason %q", i, got[i].Size, got[i].Reason)
		}
	}
}

func TestJournalSurvivesAKilledServer(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	r.send(r.intake("acc"), 0, 200)
	r.count("relay_events_journaled_total", 200)
	// What a kill leaves on disk is what is on disk now: every acknowledged write is there.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r = newRig(t, copied)
	if diff := cmp.Diff(wantTitles(0, 200), titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestStartServerSaysWhatToChange(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg  ServerConfig
		want []string
	}{
		"port taken":  {ServerConfig{Dir: t.TempDir(), Listen: taken.Addr().String()}, []string{taken.Addr().String(), "in use", "nats.listen"}},
		"no port":     {ServerConfig{Dir: t.TempDir(), Listen: "localhost"}, []string{"HOST:PORT"}},
		"not a dir":   {ServerConfig{Dir: filepath.Join(file, "x")}, []string{"--data-dir"}},
		"port so big": {ServerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:70000"}, []string{"0 to 65535"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := StartServer(t.Context(), tt.cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

// Overlay credentials open the stream TREATS for reading, and nothing else.
func TestOverlayPermissions(t *testing.T) {
	s, err := StartServer(t.Context(), ServerConfig{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", OverlayUser: "overlay", OverlayPassword: secret.New("pass-word"), Log: testLog(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	priv, err := s.Journal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rigOn(t, priv, nil)
	pub, err := s.Overlay(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	js, err := jetstream.New(pub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: OverlayStream, Subjects: []string{OverlaySubjects}}); err != nil {
		t.Fatal(err)
	}

	if nc, err := nats.Connect(s.URL()); err == nil {
		nc.Close()
		t.Error("the server takes a client without credentials")
	}
	denied := make(chan error, 16)
	nc, err := nats.Connect(s.URL(), nats.UserInfo("overlay", "pass-word"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	mustDeny := func(what string) {
		t.Helper()
		_ = nc.Flush()
		select {
		case <-denied:
		case <-time.After(5 * time.Second):
			t.Errorf("%s was not refused", what)
		}
	}
	for _, subject := range []string{
		"treats.treatstream.acc", "relay.journal.acc", "$JS.API.STREAM.DELETE.TREATS", "$JS.API.STREAM.PURGE.TREATS",
		"$JS.API.STREAM.UPDATE.TREATS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.MSG.DELETE.TREATS", "$JS.API.STREAM.MSG.GET.RELAY_JOURNAL",
	} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		mustDeny("publishing to " + subject)
	}
	for _, subject := range []string{">", "relay.>", "_RELAY.>", "$SYS.>", "$JS.>"} {
		if _, err := nc.SubscribeSync(subject); err == nil {
			mustDeny("subscribing to " + subject)
		}
	}

	// What it is for: a plain subscription and a durable consumer.
	plain, err := nc.SubscribeSync("treats.>")
	if err != nil {
		t.Fatal(err)
	}
	ojs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cons, err := ojs.CreateOrUpdateConsumer(t.Context(), OverlayStream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "treats.treatstream.acc", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if m, err := plain.NextMsg(5 * time.Second); err != nil || !bytes.Equal(m.Data, []byte("hello")) {
		t.Errorf("plain subscription: %v", err)
	}
	m, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error(err)
	}
	ordered, err := ojs.OrderedConsumer(t.Context(), OverlayStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ordered.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil {
		t.Errorf("ordered consumer: %v", err)
	}
	select {
	case err := <-denied:
		t.Errorf("an ordinary consumer was refused something: %v", err)
	default:
	}
}

// CatchUp gives up with its context while a payload waits for the journal.
func TestCatchUpGivesUp(t *testing.T) {
	r := newRig(t, t.TempDir())
	in := r.intake("acc")
	in.turn <- struct{}{} // a payload waits
	defer func() { <-in.turn }()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errLaneOver)
	defer cancel()
	if err := in.CatchUp(ctx); !errors.Is(err, errLaneOver) {
		t.Errorf("error %v, want the cause of the end of ctx", err)
	}
}

// The writer waits for a server that is away and loses nothing; sources wait once the queue is full.
func TestAppendWaitsWhileTheQueueIsFull(t *testing.T) {
	j := &Journal{nc: new(nats.Conn), queue: make(chan entry, 1), metrics: nil}
	if err := j.enqueue(t.Context(), entry{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLaneOver)
	if err := j.enqueue(ctx, entry{account: "acc"}); err == nil || !strings.Contains(err.Error(), errLaneOver.Error()) {
		t.Errorf("error %v, want the cause of the end of ctx", err)
	}
}

func TestCheckBatch(t *testing.T) {
	for answer, ok := range map[string]bool{
		`{"stream":"T","seq":3,"batch":"b","count":3}`: true,
		`{"stream":"T","seq":3}`:                       false, // a server that does not know batches
		`{"stream":"T","seq":2,"batch":"b","count":2}`: false,
		`{"stream":"T","seq":3,"batch":"x","count":3}`: false,
		`{"error":{"code":400,"err_code":10201,"description":"atomic publish batch contains duplicate message id"}}`: false,
		``:   false,
		`{}`: false,
	} {
		if err := checkBatch([]byte(answer), "b", 3); (err == nil) != ok {
			t.Errorf("checkBatch(%s) = %v", answer, err)
		}
	}
}

func TestServerURL(t *testing.T) {
	for listen, host := range map[string]string{"0.0.0.0:0": "127.0.0.1", "127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1"} {
		s, err := StartServer(t.Context(), ServerConfig{Dir: t.TempDir(), Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s.URL())
		if err != nil || u.Hostname() != host || u.Port() == "" || u.Port() == "0" {
			t.Errorf("listening on %s: URL %s", listen, s.URL())
		}
		s.Close()
	}
}
