package delivery

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
)

func TestFilter(t *testing.T) {
	r := newRig(t, t.TempDir())
	filter, err := rules.NewFilter(`data.title matches "t00000[24]" or data.account == "other"`)
	if err != nil {
		t.Fatal(err)
	}
	var sink box
	r.lane(&sink, LaneConfig{Selection: rules.Selection{Filter: filter}})
	r.send(r.intake("acc"), 0, 10)
	r.send(r.intake("other"), 0, 1)
	r.holds(&sink, "acc", []string{"t000002", "t000004"})
	r.holds(&sink, "other", wantTitles(0, 1))
	r.count("relay_sink_filtered_total", 8)
	r.eventually(func() error { // what is left out is not kept waiting
		if c := r.place("box"); c.Next != 12 || len(c.Open) > 0 {
			return fmt.Errorf("cursor %+v", c)
		}
		return nil
	})
}

func TestHidingTheSender(t *testing.T) {
	dir := t.TempDir()
	names := make(map[string]bool)
	for range 2 { // the hash is the same after a restart
		r := newRig(t, dir)
		var open, none, hashed box
		r.lane(&open, LaneConfig{Sink: "open"})
		r.lane(&none, LaneConfig{Sink: "none", Selection: rules.Selection{Sender: rules.HideSender}})
		r.lane(&hashed, LaneConfig{Sink: "hashed", Selection: rules.Selection{Sender: rules.HashSender}})
		in := r.intake("acc")
		n := len(names)
		for i, sender := range []string{"Alice", "Bob", "Alice", ""} {
			e := newEvent(in, pipeline.OriginLive, n)
			typ := "twitch"
			e.Data.Sender, e.Data.SenderType, e.Data.Raw = &sender, &typ, json.RawMessage(`{"sender":"`+sender+`"}`)
			if sender == "" {
				e.Data.Sender, e.Data.Anonymous, e.Data.Raw = nil, true, nil
			}
			e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), uint64(10*n+i))
			r.put(entryOf(t, &e))
		}
		events := func(b *box) (all []pipeline.Event) {
			r.eventually(func() error {
				if got := len(b.titles(t, "acc")); got != 4 {
					return fmt.Errorf("%d events", got)
				}
				return nil
			})
			for _, rec := range b.got["acc"] {
				e, err := rec.Event()
				if err != nil || e.ID != rec.ID {
					t.Fatal(err, e.ID, rec.ID)
				}
				if b != &open && strings.Contains(string(rec.Line), "Alice") {
					t.Errorf("the name shows: %s", rec.Line)
				}
				all = append(all, e)
			}
			return all
		}
		if all := events(&open); *all[0].Data.Sender != "Alice" {
			t.Errorf("sender %s", *all[0].Data.Sender)
		}
		for _, e := range events(&none) {
			if e.Data.Sender != nil || e.Data.SenderType != nil || !e.Data.Anonymous {
				t.Errorf("hidden: %+v", e.Data)
			}
		}
		all := events(&hashed)
		a, b := *all[0].Data.Sender, *all[1].Data.Sender
		if a == b || a != *all[2].Data.Sender || all[3].Data.Sender != nil || !strings.HasPrefix(a, "viewer-") || *all[0].Data.SenderType != "twitch" {
			t.Errorf("hashed: %q, %q, %+v", a, b, all)
		}
		names[a], names[b] = true, true
		r.stop()
	}
	if len(names) != 2 {
		t.Errorf("names %v: another hash after the restart", names)
	}
}

// A message for one sink goes to that sink only, with the id it had.
func TestResend(t *testing.T) {
	r := newRig(t, t.TempDir())
	var one, other box
	r.lane(&one, LaneConfig{Sink: "one", Selection: rules.Selection{Accounts: []string{"acc"}}})
	r.lane(&other, LaneConfig{Sink: "other"})
	r.send(r.intake("acc"), 0, 2)
	r.holds(&one, "acc", wantTitles(0, 2))
	again := one.got["acc"][0]
	for range 2 { // one of them is kept
		if err := r.journal.Resend(t.Context(), "one", again, "resend_1"); err != nil {
			t.Fatal(err)
		}
	}
	r.holds(&one, "acc", append(wantTitles(0, 2), "t000000"))
	if got := one.got["acc"][2]; got.ID != again.ID || got.Origin != again.Origin || got.Provider != again.Provider || got.Seq <= again.Seq {
		t.Errorf("came as %+v, was %+v", got, again)
	}
	r.send(r.intake("acc"), 2, 3)
	r.holds(&other, "acc", wantTitles(0, 3))
}

// alertBox keeps alerts.
type alertBox struct {
	mu  sync.Mutex
	all []pipeline.AlertData
}

func (b *alertBox) add(a pipeline.AlertData) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a)
}

func (b *alertBox) kinds() (kinds []pipeline.AlertKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.all {
		kinds = append(kinds, a.Kind)
	}
	return kinds
}
