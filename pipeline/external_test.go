package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/natstest"
)

// The journal on another server, which is killed and comes back meanwhile: nothing is lost, doubled or out of order.
func TestJournalOnAnExternalServer(t *testing.T) {
	const n = 1500
	p := natstest.Start(t)
	conn, err := nats.Connect(p.URL(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	in := r.intake("acc")
	var sink box
	_, stop := r.lane(&sink, LaneConfig{})
	for from := 0; from < n; from += 500 {
		r.send(in, from, from+500)
		if from == 500 {
			p.Kill()
			r.send(in, 1500, 1700) // while it is away
			p.Restart()
		}
	}
	want := append(append(wantTitles(0, 1000), wantTitles(1500, 1700)...), wantTitles(1000, 1500)...)
	r.holds(&sink, "acc", want)
	if diff := cmp.Diff(want, titles(r.journaled("acc"))); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if err := stop(true); err != nil {
		t.Error(err)
	}
}

// A payload that grows beyond what the server takes when it is written down must not hold up those behind it.
func TestServerThatTakesLittle(t *testing.T) {
	p := natstest.Start(t) // takes 1 MiB
	conn, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	in := r.intake("acc")
	refused := &box{rule: func(context.Context, Record) error { return Permanent(errors.New("400 Bad Request")) }}
	r.lane(refused, LaneConfig{})
	for _, payload := range []string{
		`"` + strings.Repeat(`\u0001`, 200<<10) + `"`, // no treat, and six times as long when escaped
		`"` + strings.Repeat("<", 900<<10) + `"`,
		`{"title":"` + strings.Repeat("\u2028", 300<<10) + `"}`, // a treat whose event does not fit
		`{"title":"` + strings.Repeat("<", 1000<<10) + `"}`,     // one that fits, but not as a dead letter
	} {
		if err := in.Handle(t.Context(), []json.RawMessage{json.RawMessage(payload)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	r.send(in, 0, 2)
	r.count("relay_payloads_rejected_total", 3)
	r.count("relay_events_journaled_total", 3)
	r.count("relay_sink_dead_letters_total", 3)
	stream, err := r.journal.js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(msg.Data) {
			t.Errorf("message %d is no JSON", seq)
		}
	}
}

// What the operator of the server has set on the stream stays.
func TestOperatorsSettingsStay(t *testing.T) {
	p := natstest.Start(t)
	conn, err := nats.Connect(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	r := rigOn(t, conn, nil)
	stream, err := r.journal.js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes, cfg.Description = 1<<30, "ours"
	if _, err := r.journal.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	j, err := OpenJournal(t.Context(), JournalConfig{Conn: conn, Retention: 3 * time.Hour, Log: testLog(t), Metrics: r.journal.metrics})
	if err != nil {
		t.Fatal(err)
	}
	stream, err = j.js.Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config; got.MaxBytes != 1<<30 || got.Description != "ours" || got.MaxAge != 3*time.Hour {
		t.Errorf("MaxBytes %d, description %q, MaxAge %v", got.MaxBytes, got.Description, got.MaxAge)
	}
}
