package nats_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

func openNATS(t *testing.T, config *natssink.Config, log *sinktest.LockedBuffer) pipeline.Sink {
	t.Helper()
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "overlay", Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// lane delivers all records and returns the errors on the way.
func lane(t *testing.T, sink pipeline.Sink, records []pipeline.Record) []error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var errs []error
	for len(records) > 0 {
		n, err := sink.Deliver(ctx, records)
		if n == 0 {
			errs = append(errs, err)
			if err == nil || pipeline.IsPermanent(err) || ctx.Err() != nil {
				t.Fatalf("%d records are left after %d errors: %v", len(records), len(errs), err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		records = records[n:]
	}
	return errs
}

func sameRecords(t *testing.T, got []sinktest.Arrival, want []pipeline.Record) {
	t.Helper()
	for i, r := range want {
		if i >= len(got) || got[i].ID != r.ID || got[i].Line != string(r.Line) {
			t.Fatalf("event %d of %d is not %s", i, len(got), r.ID)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d events are stored, want %d", len(got), len(want))
	}
}

func TestNATSMakesItsStream(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, p.URL())
	lane(t, openNATS(t, config, &log), sinktest.Plain("mystream", 1))
	_, js := sinktest.Client(t, p)
	s, err := js.Stream(t.Context(), "TREATS")
	if err != nil {
		t.Fatal(err)
	}
	got := s.CachedInfo().Config
	if !reflect.DeepEqual(got.Subjects, []string{"treats.>"}) || got.Storage != jetstream.FileStorage ||
		got.MaxAge != 72*time.Hour || got.Duplicates != 24*time.Hour || got.AllowAtomicPublish {
		t.Errorf("stream: %+v", got)
	}

	// What the operator adds stays, what the configuration says follows.
	got.MaxMsgs = 1000
	if _, err := js.UpdateStream(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	config.Retention = time.Hour
	config.Subject = "bots.{account}"
	lane(t, openNATS(t, config, &log), sinktest.Plain("other", 1))
	if s, err = js.Stream(t.Context(), "TREATS"); err != nil {
		t.Fatal(err)
	}
	got = s.CachedInfo().Config
	if got.MaxMsgs != 1000 || got.MaxAge != time.Hour || got.Duplicates != time.Hour ||
		!reflect.DeepEqual(got.Subjects, []string{"treats.>", "bots.*"}) {
		t.Errorf("stream after a change: %+v", got)
	}
	sameRecords(t, p.Stored(t, "TREATS"), append(sinktest.Plain("mystream", 1), sinktest.Plain("other", 1)...))
}

// TestNATSRunsAhead delivers many events of one account, and of eight others concurrently.
func TestNATSRunsAhead(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	if s, ok := sink.(pipeline.Batcher); !ok || !s.BatchesAccounts() {
		t.Error("the sink does not take accounts together")
	}
	records := sinktest.Plain("mystream", 2600)
	lane(t, sink, records[:1])
	var beside sync.WaitGroup
	for i := range 8 {
		beside.Go(func() { lane(t, sink, sinktest.Plain(fmt.Sprintf("beside%d", i), 1500)) })
	}
	for rest := records[1:]; len(rest) > 0; {
		n, err := sink.Deliver(t.Context(), rest)
		if err != nil || n != min(len(rest), 1000) {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
		rest = rest[n:]
	}
	beside.Wait()
	byAccount := map[string][]sinktest.Arrival{}
	for _, a := range p.Stored(t, "TREATS") {
		account := strings.Split(a.ID, "_")[1]
		byAccount[account] = append(byAccount[account], a)
	}
	sameRecords(t, byAccount["mystream"], records)
	for i := range 8 {
		account := fmt.Sprintf("beside%d", i)
		sameRecords(t, byAccount[account], sinktest.Plain(account, 1500))
	}
}

// TestNATSTakesAccountsTogether delivers records of several accounts in one order, which the stream keeps.
func TestNATSTakesAccountsTogether(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	var records []pipeline.Record
	for i := range 700 {
		records = append(records, sinktest.Record(fmt.Sprintf("account%d", i*i%7), i, "hello"))
	}
	lane(t, sink, records[:10])
	lane(t, sink, records)
	sameRecords(t, p.Stored(t, "TREATS"), records)
	nc, _ := sinktest.Client(t, p)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "TREATS")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		m, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil || m.Subject != "treats.treatstream."+r.Account {
			t.Fatalf("message %d: %+v, %v", i+1, m, err)
		}
		if m.Header.Get("Relay-Number") != "" {
			t.Fatal("a server that is not relay's own is told the numbers of the journal")
		}
	}
}

// TestNATSRefusesCopies checks that the server recognizes IDs from before a restart of the sink.
func TestNATSRefusesCopies(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	records := sinktest.Plain("mystream", 30)
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	lane(t, sink, records[:10])
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	sink = openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	lane(t, sink, records[:10])   // all known
	lane(t, sink, records[5:20])  // some known, at the front
	lane(t, sink, records[20:21]) // one alone
	lane(t, sink, records[18:30]) // known ones, and new ones behind
	lane(t, sink, records[29:])   // the last again
	if errs := lane(t, sink, records); len(errs) != 0 {
		t.Errorf("copies are errors: %v", errs)
	}
	sameRecords(t, p.Stored(t, "TREATS"), records)
}

// TestNATSLeavesAStreamOfOthersAlone uses a stream that relay did not create, and checks that it stays as it is.
func TestNATSLeavesAStreamOfOthersAlone(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	_, js := sinktest.Client(t, p)
	foreign := jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}, MaxMsgs: 5000}
	s, err := js.CreateStream(t.Context(), foreign)
	if err != nil {
		t.Fatal(err)
	}
	before := s.CachedInfo().Config
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	records := sinktest.Plain("mystream", 80)
	if errs := lane(t, sink, records[:40]); slices.ContainsFunc(errs, func(err error) bool { return !strings.Contains(err.Error(), "not connected") }) {
		t.Errorf("errors: %v", errs)
	}
	if errs := lane(t, sink, records); len(errs) != 0 {
		t.Errorf("errors: %v", errs)
	}
	if s, err = js.Stream(t.Context(), "TREATS"); err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().Config; !reflect.DeepEqual(got, before) {
		t.Errorf("the stream of another was changed: %+v, was %+v", got, before)
	}
	sameRecords(t, p.Stored(t, "TREATS"), records)
}

func TestNATSStreamsOfOthers(t *testing.T) {
	p := sinktest.Running(t, "")
	_, js := sinktest.Client(t, p)
	for _, c := range []jetstream.StreamConfig{
		{Name: "ELSEWHERE", Subjects: []string{"elsewhere.>"}},
		{Name: "NARROW", Subjects: []string{"narrow.treatstream.*"}},
		{Name: "MUTE", Subjects: []string{"mute.>"}, NoAck: true},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ stream, subject, want string }{
		{"ELSEWHERE", "treats.{provider}.{account}", "does not accept treats.>"},
		{"NARROW", "narrow.{provider}.{account}", "does not accept narrow.*.*"},
		{"MUTE", "mute.{provider}.{account}", "turn its no_ack off"},
		{"NEW", "elsewhere.{account}", "another stream takes elsewhere.* already"},
	} {
		t.Run(c.stream, func(t *testing.T) {
			var log sinktest.LockedBuffer
			config := sinktest.NATSConfig(t, p.URL())
			config.Stream, config.Subject = c.stream, c.subject
			sink := openNATS(t, config, &log)
			for range 3 {
				n, err := sink.Deliver(t.Context(), sinktest.Plain("mystream", 2))
				for n == 0 && err != nil && strings.Contains(err.Error(), "not connected") {
					n, err = sink.Deliver(t.Context(), sinktest.Plain("mystream", 2))
				}
				if n != 0 || err == nil || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Deliver = %d, %v, want %q", n, err, c.want)
				}
			}
			if n := strings.Count(log.String(), "NATS does not accept events"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, log.String())
			}
		})
	}
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, p.URL())
	config.Stream, config.Subject = "NARROW", "narrow.treatstream.{account}"
	lane(t, openNATS(t, config, &log), sinktest.Plain("mystream", 5))
	sameRecords(t, p.Stored(t, "NARROW"), sinktest.Plain("mystream", 5))
}

// TestNATSTooLarge checks that only the event that is too large is refused.
func TestNATSTooLarge(t *testing.T) {
	p := sinktest.Running(t, "max_payload: 65536")
	_, js := sinktest.Client(t, p)
	limited := jetstream.StreamConfig{
		Name: "LIMITED", Subjects: []string{"limited.>"}, MaxMsgSize: 4096,
	}
	if _, err := js.CreateStream(t.Context(), limited); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stream, subject, want string
		size                  int
	}{
		{"TREATS", natssink.NewConfig().Subject, "max_payload", 70_000},
		{"LIMITED", "limited.{account}", "max_msg_size", 5_000},
	} {
		t.Run(c.stream, func(t *testing.T) {
			var log sinktest.LockedBuffer
			config := sinktest.NATSConfig(t, p.URL())
			config.Stream, config.Subject = c.stream, c.subject
			sink := openNATS(t, config, &log)
			records := sinktest.Plain("mystream", 6)
			lane(t, sink, records[:1])
			records[3] = sinktest.Record("mystream", 3, strings.Repeat("x", c.size))
			n, err := sink.Deliver(t.Context(), records[1:])
			if n != 2 {
				t.Fatalf("Deliver = %d, %v, want the 2 in front accepted", n, err)
			}
			n, err = sink.Deliver(t.Context(), records[3:])
			if n != 0 || !pipeline.IsPermanent(err) || pipeline.RefusalCode(err) != c.want || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), records[3].ID) {
				t.Fatalf("Deliver = %d, %v", n, err)
			}
			lane(t, sink, records[4:])
			sameRecords(t, p.Stored(t, c.stream), append(sinktest.Plain("mystream", 3), records[4:]...))
		})
	}
}

// An alert, which has no provider, is published as relay's own.
func TestNATSTakesAlerts(t *testing.T) {
	p := sinktest.Running(t, "")
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), new(sinktest.LockedBuffer))
	nc, _ := sinktest.Client(t, p)
	all, err := nc.SubscribeSync("treats.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	alert := pipeline.Record{ID: "alt_1", Account: "RELAY", Type: pipeline.AlertType, Line: []byte(`{"id":"alt_1","type":"treatrelay.alert.v1"}`)}
	lane(t, sink, []pipeline.Record{alert, sinktest.Plain("mystream", 1)[0], sinktest.DigestRecord("other")})
	for _, want := range []string{"treats.relay.RELAY", "treats.treatstream.mystream", "treats.treatstream.other"} {
		msg, err := all.NextMsg(10 * time.Second)
		if err != nil || msg.Subject != want {
			t.Fatalf("published %+v (%v), want one on %s", msg, err, want)
		}
	}
}

// TestNATSStoresReplays delivers the same events live and in two replays, each twice: alone and in batches.
func TestNATSStoresReplays(t *testing.T) {
	p := sinktest.Running(t, "")
	var log sinktest.LockedBuffer
	records := sinktest.Plain("mystream", 20)
	want := slices.Clone(records)
	sink := openNATS(t, sinktest.NATSConfig(t, p.URL()), &log)
	lane(t, sink, records)
	for run := range uint64(2) {
		replayed := slices.Clone(records)
		for i := range replayed {
			r := &replayed[i]
			r.Seq, r.Origin = (run+1)*100+uint64(i), pipeline.OriginReplay
			r.Line = bytes.Replace(r.Line, []byte(`"origin":"live"`), []byte(`"origin":"replay"`), 1)
		}
		want = append(want, replayed...)
		lane(t, sink, replayed[:3])
		lane(t, sink, replayed)
		lane(t, sink, replayed[5:])
	}
	for i := range want {
		if r := &want[i]; r.Origin == pipeline.OriginReplay {
			r.ID = fmt.Sprintf("%s/replay/%d", r.ID, r.Seq) // of the message
		}
	}
	sameRecords(t, p.Stored(t, "TREATS"), want)
}
