package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/natstest"
)

// consumeAll is a scan of a whole stream.
func consumeAll() jetstream.ConsumerConfig { return jetstream.ConsumerConfig{} }

// letters waits until there are n dead letters that match.
func (r *rig) letters(n int, f DeadLetterFilter) (letters []DeadLetter) {
	r.t.Helper()
	r.eventually(func() error {
		letters = nil
		for d, err := range r.journal.DeadLetters(r.t.Context(), f) {
			if err != nil {
				return err
			}
			letters = append(letters, d)
		}
		if len(letters) != n {
			return fmt.Errorf("%d dead letters, want %d", len(letters), n)
		}
		return nil
	})
	return letters
}

// An event that is redriven keeps its id, and becomes a dead letter again if it is refused again.
func TestRedrive(t *testing.T) {
	r := newRig(t, t.TempDir())
	var accept atomic.Bool
	sink := &box{single: true, rule: func(_ context.Context, rec Record) error {
		if strings.Contains(string(rec.Line), "t000001") && !accept.Load() {
			return Permanent(errors.New("400 Bad Request"))
		}
		return nil
	}}
	r.lane(sink, LaneConfig{})
	r.send(r.intake("acc"), 0, 3)
	r.holds(sink, "acc", []string{"t000000", "t000002"})
	first := r.letters(1, DeadLetterFilter{})[0]
	if err := r.journal.Redrive(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	var second DeadLetter
	r.eventually(func() error {
		second = r.letters(1, DeadLetterFilter{})[0]
		if second.Number == first.Number {
			return errors.New("it was not refused again yet")
		}
		return nil
	})
	if second.ID != first.ID || second.Account != "acc" || second.Provider != "treatstream" || second.Origin != OriginLive || second.Type != EventType {
		t.Errorf("dead letter %+v", second)
	}
	accept.Store(true)
	if err := r.journal.Redrive(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	r.holds(sink, "acc", []string{"t000000", "t000002", "t000001"})
	sink.mu.Lock()
	last := sink.got["acc"][2]
	sink.mu.Unlock()
	if last.ID != first.ID || last.Provider != "treatstream" || last.Origin != OriginLive || string(last.Line) != string(first.Event) {
		t.Errorf("redriven record %+v", last)
	}
	r.letters(0, DeadLetterFilter{})
}

// A redrive that was cut off before the dead letter was deleted gives the event once when it is made again.
func TestRedriveCutOff(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.send(r.intake("acc"), 0, 1)
	r.count("relay_events_journaled_total", 1)
	if err := r.journal.deadLetter(t.Context(), "bot", "no", 1, r.record(1)); err != nil {
		t.Fatal(err)
	}
	d := r.letters(1, DeadLetterFilter{})[0]
	if err := r.journal.Resend(t.Context(), d.Sink, r.record(1), redriveID+strconv.FormatUint(d.Number, 10)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also if somebody else was faster
		if err := r.journal.Redrive(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	r.letters(0, DeadLetterFilter{})
	if n := r.resent(); n != 1 {
		t.Errorf("%d messages for the sink, want 1", n)
	}
}

// record reads an event of the journal.
func (r *rig) record(seq uint64) Record {
	r.t.Helper()
	rec, _, err := r.journal.eventAt(r.t.Context(), seq)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// resent counts the messages for one sink only.
func (r *rig) resent() (n int) {
	r.t.Helper()
	for _, err := range r.journal.scan(r.t.Context(), JournalStream, jetstream.ConsumerConfig{FilterSubjects: []string{resendSubject + "*.*"}}) {
		if err != nil {
			r.t.Fatal(err)
		}
		n++
	}
	return n
}

// An event that does not fit beside the rest of its dead letter is taken from the journal, and the dead letter stays if the
// journal has dropped it.
func TestRedriveLargeEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	r.send(r.intake("acc"), 0, 1)
	r.count("relay_events_journaled_total", 1)
	rec := r.record(1)
	large := rec
	large.Line = []byte(`"` + strings.Repeat("x", maxPayload) + `"`)
	for _, sink := range []string{"bot", "later"} {
		if err := r.journal.deadLetter(t.Context(), sink, "no", 1, large); err != nil {
			t.Fatal(err)
		}
	}
	letters := r.letters(2, DeadLetterFilter{Accounts: []string{"acc"}})
	if len(letters[0].Event) > 0 {
		t.Fatal("the event fits")
	}
	if err := r.journal.Redrive(t.Context(), letters[0]); err != nil {
		t.Fatal(err)
	}
	stream, err := r.journal.js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetLastMsgForSubject(t.Context(), resendSubject+"bot.acc")
	if err != nil || string(msg.Data) != string(rec.Line) || msg.Header.Get(headerID) != rec.ID {
		t.Errorf("sent again: %v (%v)", msg, err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Redrive(t.Context(), letters[1]); !errors.Is(err, ErrEventGone) {
		t.Errorf("error %v, want %v", err, ErrEventGone)
	}
	r.letters(1, DeadLetterFilter{Sinks: []string{"later"}})
}

func TestDeadLetterFilter(t *testing.T) {
	r := newRig(t, t.TempDir())
	for i, d := range []struct{ sink, account, id, reason string }{
		{"bot", "a", "trt_1", "answered 404 Not Found"},
		{"bot", "b", "trt_2", "answered 400 Bad Request"},
		{"chat", "a", "trt_1", "answered 404 Not Found"},
		{"chat2", "c", "trt_3", "too large"},
	} {
		rec := Record{Seq: uint64(i + 1), ID: d.id, Account: d.account, Line: []byte("{}")}
		if err := r.journal.deadLetter(t.Context(), d.sink, d.reason, 1, rec); err != nil {
			t.Fatal(err)
		}
	}
	all := r.letters(4, DeadLetterFilter{})
	for _, tt := range []struct {
		name   string
		filter DeadLetterFilter
		want   []int
	}{
		{"sink", DeadLetterFilter{Sinks: []string{"chat"}}, []int{2}},
		{"sinks", DeadLetterFilter{Sinks: []string{"chat", "bot", "bot"}}, []int{0, 1, 2}},
		{"account", DeadLetterFilter{Accounts: []string{"a"}}, []int{0, 2}},
		{"both", DeadLetterFilter{Accounts: []string{"a"}, Sinks: []string{"bot"}}, []int{0}},
		{"id", DeadLetterFilter{IDs: []string{"trt_1"}}, []int{0, 2}},
		{"number", DeadLetterFilter{Numbers: []uint64{all[1].Number}}, []int{1}},
		{"numbers", DeadLetterFilter{Numbers: []uint64{all[3].Number, all[1].Number}}, []int{1, 3}},
		{"number or id", DeadLetterFilter{Numbers: []uint64{all[1].Number}, IDs: []string{"trt_3"}}, []int{1, 3}},
		{"unknown number", DeadLetterFilter{Numbers: []uint64{0, 999}}, nil},
		{"reason", DeadLetterFilter{Reason: "not found"}, []int{0, 2}},
		{"since", DeadLetterFilter{Since: all[2].Time}, []int{2, 3}},
		{"until", DeadLetterFilter{Until: all[2].Time}, []int{0, 1}},
		{"tomorrow", DeadLetterFilter{Since: time.Now().Add(24 * time.Hour)}, nil},
		{"nothing", DeadLetterFilter{Sinks: []string{"ghost"}}, nil},
	} {
		var got []int
		for d, err := range r.journal.DeadLetters(t.Context(), tt.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, slices.IndexFunc(all, func(other DeadLetter) bool { return other.Number == d.Number }))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Any number of dead letters is gone through in little memory, also while they are deleted.
func TestManyDeadLetters(t *testing.T) {
	const n, each = 30_000, 1000
	server := natstest.Start(t) // in a process of its own, so that this one's memory is that of the reader
	conn, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	event := `{"pad":"` + strings.Repeat("x", each) + `"}`
	for i := 0; i < n; i += 1000 {
		var batch []*nats.Msg
		for k := i; k < i+1000; k++ {
			data := fmt.Sprintf(`{"sink":"bot","reason":"no","id":"trt_%d","account":"acc","event":%s}`, k, event)
			batch = append(batch, &nats.Msg{Subject: deadSubject + "bot", Data: []byte(data)})
		}
		if err := PublishBatch(t.Context(), conn, batch); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, peak, seen := heap(), uint64(0), 0
	for d, err := range r.journal.DeadLetters(t.Context(), DeadLetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen%5_000 == 1 {
			if err := r.journal.DeleteDeadLetter(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		if seen%5_000 == 0 {
			peak = max(peak, heap())
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d dead letters, want %d", seen, n)
	}
	if peak > before+8<<20 {
		t.Errorf("%d MiB more than before, of %d MiB of dead letters", (peak-before)>>20, n*each>>20)
	}
	r.letters(1, DeadLetterFilter{Numbers: []uint64{n}})
	r.letters(0, DeadLetterFilter{Numbers: []uint64{90_002}}) // deleted
}
