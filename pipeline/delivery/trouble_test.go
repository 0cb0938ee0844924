package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// refuses makes a rule that fails the events of these titles.
func refuses(err error, titles ...string) func(context.Context, pipeline.Record) error {
	return func(_ context.Context, r pipeline.Record) error {
		for _, title := range titles {
			if strings.Contains(string(r.Line), title) {
				return err
			}
		}
		return nil
	}
}

// An event that fails five times steps aside: those behind it pass, and it comes when the sink takes it, also after a restart.
func TestSteppingAside(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	sink := &box{single: true, rule: refuses(errors.New("status 500"), "t000001")}
	retry := RetryPolicy{Initial: time.Millisecond, Max: 30 * time.Second}
	_, stop := r.lane(sink, LaneConfig{Retry: retry})
	in := r.intake("acc")
	r.send(in, 0, 4)
	r.holds(sink, "acc", []string{"t000000", "t000002", "t000003"})
	r.eventually(func() error {
		if n, err := r.journal.Retries(t.Context(), "box"); n != 1 || err != nil {
			return fmt.Errorf("%d retries on disk (%w), want 1", n, err)
		}
		return nil
	})
	if got := r.metric("relay_sink_retries_waiting"); got != 1 {
		t.Errorf("%v retries waiting, want 1", got)
	}
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	var again box
	all := r.retries("box")
	if len(all) != 1 || all[0].Attempts < stepAside || !all[0].Aside {
		t.Fatalf("retries %+v", all)
	}
	r.lane(&again, LaneConfig{Retry: retry})
	r.holds(&again, "acc", []string{"t000001"})
	r.eventually(func() error {
		if n, err := r.journal.Retries(t.Context(), "box"); n != 0 || err != nil {
			return fmt.Errorf("%d retries on disk (%w), want none", n, err)
		}
		return nil
	})
	if again.got["acc"][0].ID != all[0].ID {
		t.Errorf("came with id %s, was %s", again.got["acc"][0].ID, all[0].ID)
	}
}

func TestStrictOrder(t *testing.T) {
	r := newRig(t, t.TempDir())
	var tries atomic.Int32
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.Contains(string(rec.Line), "t000000") && tries.Add(1) < 12 {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true})
	r.send(r.intake("acc"), 0, 4)
	r.holds(sink, "acc", wantTitles(0, 4))
}

// A destination that is down costs no event its place, however long it takes, and no more than a probe at a time.
func TestOutageKeepsOrder(t *testing.T) {
	r := newRig(t, t.TempDir())
	var down atomic.Bool
	var probes, under, most atomic.Int32
	down.Store(true)
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if !down.Load() {
			return nil
		}
		if n := under.Add(1); probes.Add(1) > 3 && n > most.Load() { // the first of each account may be on their way
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		under.Add(-1)
		return pipeline.Unavailable(errors.New("connection refused"))
	}}
	var alerts alertBox
	r.lane(sink, LaneConfig{Alert: alerts.add})
	for _, account := range []string{"a", "b", "c"} {
		r.send(r.intake(account), 0, 50)
	}
	r.eventually(func() error {
		if n := probes.Load(); n < 40 {
			return fmt.Errorf("%d probes", n)
		}
		return nil
	})
	if got := r.metric("relay_sink_down"); got != 1 {
		t.Errorf("relay_sink_down = %v", got)
	}
	r.eventually(func() error {
		if s, err := r.journal.SinkState(t.Context(), "box"); err != nil || s.DownSince.IsZero() || !strings.Contains(s.Reason, "refused") {
			return fmt.Errorf("state %+v, %w", s, err)
		}
		return nil
	})
	if most.Load() > 1 {
		t.Errorf("%d at a time while down, want 1", most.Load())
	}
	down.Store(false)
	for _, account := range []string{"a", "b", "c"} {
		r.holds(sink, account, wantTitles(0, 50))
	}
	r.eventually(func() error {
		if s, err := r.journal.SinkState(t.Context(), "box"); err != nil || s != (journal.SinkState{}) {
			return fmt.Errorf("state %+v, %w", s, err)
		}
		return nil
	})
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDown, pipeline.AlertRecovered}) {
		t.Errorf("alerts %v, want one that it is down and one that it works again", got)
	}
	if r.metric("relay_sink_dead_letters_total") != 0 || r.metric("relay_sink_outages_total") != 1 || r.metric("relay_sink_down") != 0 {
		t.Error("metrics do not show one outage without dead letters")
	}
}

// An event at which the destination hangs, and at no other, looks like an outage; it is found out and steps aside.
func TestPoisonStepsAside(t *testing.T) {
	for _, accounts := range [][]string{{"a"}, {"a", "b"}} {
		t.Run(fmt.Sprint(len(accounts), " accounts"), func(t *testing.T) {
			r := newRig(t, t.TempDir())
			poison := errors.New("no complete answer within 15s")
			sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
				if rec.Account == "a" && strings.Contains(string(rec.Line), "t000001") {
					return pipeline.Unanswered(poison)
				}
				return nil
			}}
			r.lane(sink, LaneConfig{Retry: RetryPolicy{Initial: 10 * time.Second}})
			var sends sync.WaitGroup
			for _, account := range accounts {
				sends.Go(func() {
					in := r.intake(account)
					for n := range 40 {
						r.send(in, n, n+1)
						time.Sleep(5 * time.Millisecond)
					}
				})
			}
			sends.Wait()
			for _, account := range accounts {
				want := wantTitles(0, 40)
				if account == "a" {
					want = slices.Delete(want, 1, 2)
				}
				r.holds(sink, account, want)
			}
			r.eventually(func() error {
				if all := r.retries("box"); len(all) != 1 || !all[0].Aside || all[0].Attempts < stepAside {
					return fmt.Errorf("retries %+v", all)
				}
				return nil
			})
		})
	}
}

// What stepped aside while the endpoint refused everything comes as soon as it does no more, not on its own schedule.
func TestRefusalOfEverythingIsAnOutage(t *testing.T) {
	r := newRig(t, t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if broken.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: RetryPolicy{Initial: 2 * time.Hour}}) // so long that each steps aside at once
	r.send(r.intake("acc"), 0, 10)
	r.eventually(func() error {
		if r.metric("relay_sink_down") != 1 {
			return errors.New("sink is not down")
		}
		return nil
	})
	broken.Store(false)
	r.eventually(func() error {
		got := sink.titles(t, "acc")
		if slices.Sort(got); !slices.Equal(got, wantTitles(0, 10)) {
			return fmt.Errorf("the sink has %v", got)
		}
		return nil
	})
}

// Events that the destination refuses for good while it is down must not leave the lane without one to probe with.
func TestProbesGoOnWhenTheHeldEventsAreGone(t *testing.T) {
	r := newRig(t, t.TempDir())
	var mu sync.Mutex
	tries := make(map[string]int)
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if !strings.HasPrefix(rec.Account, "bad") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if tries[rec.Account]++; tries[rec.Account] == 1 {
			return errors.New("status 500")
		}
		return pipeline.Permanent(errors.New("status 400"))
	}}
	r.lane(sink, LaneConfig{})
	const before = maxHandover - 2*tripAt
	r.send(r.intake("good"), 100, 100+before)
	r.count("relay_sink_delivered_total", before)
	for n := range tripAt {
		r.send(r.intake(fmt.Sprint("bad", n)), 0, 1)
	}
	r.count("relay_sink_outages_total", 1)
	r.send(r.intake("bad0"), 1, 1+tripAt) // now the lane has taken as many as it asked for
	r.count("relay_sink_dead_letters_total", 2*tripAt)
	r.send(r.intake("good"), 100+before, 200+before)
	r.holds(sink, "good", wantTitles(100, 200+before))
}

// Bad events of some accounts, of which each waits long for its next attempt, do not keep those of others from showing that the
// sink works, nor does the lane wait for them when it works again.
func TestStrictAccountsDoNotHoldUpOthers(t *testing.T) {
	r := newRig(t, t.TempDir())
	var mended atomic.Bool
	sink := &box{single: true, rule: func(_ context.Context, rec pipeline.Record) error {
		if strings.HasPrefix(rec.Account, "bad") && !mended.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true, Retry: RetryPolicy{Initial: time.Hour}})
	for n := range tripAt {
		r.send(r.intake(fmt.Sprint("bad", n)), 0, 1)
	}
	r.count("relay_sink_outages_total", 1)
	r.send(r.intake("bad0"), 1, 1+maxHandover-tripAt) // now the lane has taken as many as it asked for
	r.count("relay_sink_in_flight", maxHandover)
	r.send(r.intake("good"), 0, 3)
	r.holds(sink, "good", wantTitles(0, 3))
}

// With strict order too, what was refused while the sink refused everything is tried as soon as it does no more.
func TestStrictRecovers(t *testing.T) {
	r := newRig(t, t.TempDir())
	var broken atomic.Bool
	broken.Store(true)
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if broken.Load() {
			return errors.New("status 500")
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Strict: true, Retry: RetryPolicy{Initial: time.Hour}})
	for n := range tripAt {
		r.send(r.intake(fmt.Sprint("a", n)), 0, 3)
	}
	r.count("relay_sink_outages_total", 1)
	r.eventually(func() error { // probed with one, which is not counted as an attempt of the schedule
		if n := r.metric("relay_sink_failures_total"); n < tripAt+minAttempts {
			return fmt.Errorf("%v attempts", n)
		}
		return nil
	})
	all := r.retries("box")
	if len(all) != tripAt || slices.ContainsFunc(all, func(r retry) bool { return r.Attempts != 1 }) {
		t.Errorf("retries %+v", all)
	}
	broken.Store(false)
	for n := range tripAt {
		r.holds(sink, fmt.Sprint("a", n), wantTitles(0, 3))
	}
}

// An outage that meets an event that stepped aside is no reason to give it up, however late.
func TestOutageGivesNothingUp(t *testing.T) {
	r := newRig(t, t.TempDir())
	first := box{rule: func(context.Context, pipeline.Record) error {
		return pipeline.RetryAfter(2*longWait, errors.New("status 500"))
	}}
	_, stop := r.lane(&first, LaneConfig{})
	r.send(r.intake("acc"), 0, 1)
	r.count("relay_sink_retries_waiting", 1)
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	late, long := r.retries("box")[0], time.Now().Add(-100*time.Hour)
	late.First, late.Last, late.Next, late.Floor, late.Attempts = long, long, long, time.Time{}, 20
	if err := (retryStore{r.state, "box"}).put(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		switch n := tries.Add(1); {
		case n == 1:
			return pipeline.Unavailable(errors.New("connection refused"))
		case n < 10: // it is down already, so this says nothing of the event
			return pipeline.Unanswered(errors.New("no answer"))
		}
		return nil
	}}
	r.lane(sink, LaneConfig{Retry: RetryPolicy{Initial: time.Millisecond, Max: time.Millisecond}})
	r.holds(sink, "acc", wantTitles(0, 1))
	if got := r.metric("relay_sink_dead_letters_total"); got != 0 {
		t.Errorf("%v dead letters of an outage", got)
	}
}

// What the destination says while the lane is being ended is not forgotten.
func TestLastWords(t *testing.T) {
	for name, c := range map[string]struct {
		answer error
		kept   func(journal.SinkState, []retry) bool
	}{
		"gone": {pipeline.Gone(errors.New("status 410")), func(s journal.SinkState, _ []retry) bool { return !s.DisabledSince.IsZero() }},
		"down": {
			pipeline.RetryAfter(time.Hour, pipeline.Unavailable(errors.New("status 429"))),
			func(s journal.SinkState, _ []retry) bool { return time.Until(s.NotBefore) > 50*time.Minute },
		},
		"refused": {
			pipeline.RetryAfter(time.Hour, errors.New("status 500")),
			func(_ journal.SinkState, all []retry) bool {
				return len(all) == 1 && time.Until(all[0].Next) > 50*time.Minute
			},
		},
		"accepted after a refusal": {nil, func(_ journal.SinkState, all []retry) bool { return len(all) == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, t.TempDir())
			var tries atomic.Int32
			asked := make(chan struct{})
			sink := &box{single: true, rule: func(ctx context.Context, _ pipeline.Record) error {
				if c.answer == nil && tries.Add(1) <= stepAside {
					return errors.New("status 500")
				}
				close(asked)
				<-ctx.Done()
				return c.answer
			}}
			_, stop := r.lane(sink, LaneConfig{})
			r.send(r.intake("acc"), 0, 1)
			<-asked
			if err := stop(false); err != nil {
				t.Fatal(err)
			}
			state, err := r.journal.SinkState(t.Context(), "box")
			if err != nil {
				t.Fatal(err)
			}
			all := r.retries("box")
			if !c.kept(state, all) {
				t.Errorf("the lane left %+v and retries %+v", state, all)
			}
		})
	}
}

// The operator is told once of an outage, and once of its end, whatever restarts come between.
func TestAlertsOverRestarts(t *testing.T) {
	dir := t.TempDir()
	var alerts alertBox
	var down atomic.Bool
	down.Store(true)
	var probes atomic.Int32
	sink := &box{single: true, rule: func(context.Context, pipeline.Record) error {
		if down.Load() {
			probes.Add(1)
			return pipeline.Unavailable(errors.New("connection refused"))
		}
		return nil
	}}
	for restart := range 3 {
		r := newRig(t, dir)
		_, stop := r.lane(sink, LaneConfig{Alert: alerts.add})
		if restart == 0 {
			r.send(r.intake("acc"), 0, 3)
		}
		before := probes.Load()
		r.eventually(func() error {
			if n := probes.Load() - before; n < 3*alertProbes {
				return fmt.Errorf("%d probes", n)
			}
			return nil
		})
		if restart == 2 {
			down.Store(false)
			r.holds(sink, "acc", wantTitles(0, 3))
		}
		if err := stop(true); err != nil {
			t.Fatal(err)
		}
		r.stop()
	}
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDown, pipeline.AlertRecovered}) {
		t.Errorf("alerts %v, want one that it is down and one that it works again", got)
	}
}

// One answer that the destination is gone is enough, for good, until somebody enables the sink.
func TestGoneDisables(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir)
	var requests atomic.Int32
	gone := func(context.Context, pipeline.Record) error {
		requests.Add(1)
		return pipeline.Gone(errors.New("status 410"))
	}
	sink := &box{single: true, rule: gone}
	var alerts alertBox
	_, stop := r.lane(sink, LaneConfig{Alert: alerts.add})
	in := r.intake("acc")
	r.send(in, 0, 20)
	state := func() journal.SinkState {
		t.Helper()
		s, err := r.journal.SinkState(t.Context(), "box")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	r.eventually(func() error {
		if s := state(); s.DisabledSince.IsZero() || s.Reason != "status 410" {
			return fmt.Errorf("state %+v", s)
		}
		return nil
	})
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	r.stop()

	r = newRig(t, dir)
	in = r.intake("acc")
	again := &box{single: true, rule: gone}
	_, stop = r.lane(again, LaneConfig{})
	r.send(in, 20, 30)
	r.count("relay_events_journaled_total", 10)
	if got := r.metric("relay_sink_disabled"); got != 1 {
		t.Errorf("relay_sink_disabled = %v", got)
	}
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	var mended box
	r.lane(&mended, LaneConfig{})
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince = time.Time{} }); err != nil {
		t.Fatal(err)
	}
	r.holds(&mended, "acc", wantTitles(0, 30))
	if got := alerts.kinds(); !slices.Equal(got, []pipeline.AlertKind{pipeline.AlertDisabled}) {
		t.Errorf("alerts %v", got)
	}
	// And the operator's own word, while it runs.
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince, s.Reason = time.Now(), "by hand" }); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		if r.metric("relay_sink_disabled") != 1 {
			return errors.New("not disabled")
		}
		return nil
	})
	r.send(in, 30, 31)
	r.count("relay_events_journaled_total", 11)
	if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { *s = journal.SinkState{} }); err != nil {
		t.Fatal(err)
	}
	r.holds(&mended, "acc", wantTitles(0, 31))
}

func TestFilter(t *testing.T) {
	r := newRig(t, t.TempDir())
	filter, err := NewFilter(`data.title matches "t00000[24]" or data.account == "other"`)
	if err != nil {
		t.Fatal(err)
	}
	var sink box
	r.lane(&sink, LaneConfig{Filter: filter})
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

func TestFilterFaults(t *testing.T) {
	for text, want := range map[string]string{
		`data.ttile == "x"`:                "line 1, column 6: ",
		"data.anonymous and\n  data.title": "line 1, column 16: ",
		`data.title == 3`:                  "line 1, column 12: ",
		`data.title + "x"`:                 "expected bool",
		`(`:                                "line 1, column 1: ",
		``:                                 "",
	} {
		_, err := NewFilter(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("NewFilter(%q) = %v, want one line with %q", text, err, want)
		}
	}
}

func TestHidingTheSender(t *testing.T) {
	dir := t.TempDir()
	names := make(map[string]bool)
	for range 2 { // the hash is the same after a restart
		r := newRig(t, dir)
		var open, none, hashed box
		r.lane(&open, LaneConfig{Sink: "open"})
		r.lane(&none, LaneConfig{Sink: "none", Sender: HideSender})
		r.lane(&hashed, LaneConfig{Sink: "hashed", Sender: HashSender})
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
	r.lane(&one, LaneConfig{Sink: "one", Accounts: []string{"acc"}})
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
