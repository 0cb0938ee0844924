package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

// put journals an event of that origin and time.
func (r *rig) put(account string, origin Origin, at time.Time, n int) Event {
	r.t.Helper()
	norm := Normalizer{Account: account, Provider: "treatstream", Location: time.UTC}
	title := fmt.Sprintf("t%06d", n)
	if origin == OriginTest {
		e := norm.TestEvent(at, "", title, "")
		if err := r.journal.PutTest(r.t.Context(), &e, ""); err != nil {
			r.t.Fatal(err)
		}
		return e
	}
	e, _ := norm.normalize(&treat{fields: [7]*string{4: &title}}, at)
	e.Origin, e.ID = origin, NewID(e.Time, NewKey(&e.Data), uint64(n))
	if err := r.journal.append(r.t.Context(), &e, uint64(n)); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// events are the ids of those that match.
func (r *rig) events(f EventFilter) (ids []string) {
	r.t.Helper()
	for e, err := range r.journal.Events(r.t.Context(), f) {
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// What a filter yields, and what a replay of it delivers, is exactly what a model says, whatever the range: each event once in a
// run, with its own id and time, and not a byte changed beside the origin.
func TestReplayProperty(t *testing.T) {
	r := newRig(t, t.TempDir())
	now := time.Now().UTC().Truncate(time.Millisecond)
	accounts, origins := []string{"ann", "bob", "cy"}, []Origin{OriginLive, OriginLive, OriginBackfill, OriginTest}
	var model []Event
	random := rapid.Custom(func(t *rapid.T) Event {
		return Event{
			Origin: rapid.SampledFrom(origins).Draw(t, "origin"), Data: Data{Account: rapid.SampledFrom(accounts).Draw(t, "account")},
			Time: now.Add(time.Duration(rapid.IntRange(-48, 12).Draw(t, "hours")) * time.Hour),
		}
	})
	const n = 80
	journaled := 0.0
	for i := range n {
		e := random.Example(i + 1)
		if model = append(model, r.put(e.Data.Account, e.Origin, e.Time, i)); e.Origin != OriginTest {
			journaled++
		}
		r.count("relay_events_journaled_total", journaled) // so that a test event, which does not wait in line, comes after it
	}
	box := &box{}
	r.lane(box, LaneConfig{Sink: "bot", Accounts: []string{"ann", "bob", "cy"}})
	seen := 0 // of what the sink has
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		f := EventFilter{
			Accounts: rapid.SliceOfN(rapid.SampledFrom(accounts), 0, 3).Draw(rt, "accounts"),
			Origins:  rapid.SliceOfN(rapid.SampledFrom(origins), 0, 3).Draw(rt, "origins"),
		}
		moment := func(name string) (at time.Time) {
			if hours := rapid.IntRange(-60, 20).Draw(rt, name); hours < 14 {
				at = now.Add(time.Duration(hours) * time.Hour)
			}
			return at
		}
		f.Since, f.Until = moment("since"), moment("until")
		if rapid.IntRange(0, 3).Draw(rt, "by id") == 0 {
			f.IDs = []string{model[rapid.IntRange(0, n-1).Draw(rt, "id")].ID, model[0].ID}
		}
		f.After = uint64(rapid.SampledFrom([]int{0, 0, 1, 20, n}).Draw(rt, "after"))
		f.Last = uint64(rapid.SampledFrom([]int{0, 1, 60, n}).Draw(rt, "last"))
		var want []Event
		for i, e := range model {
			number := uint64(i + 1)
			if (len(f.Accounts) == 0 || slices.Contains(f.Accounts, e.Data.Account)) && (len(f.Origins) == 0 || slices.Contains(f.Origins, e.Origin)) &&
				(len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) && !e.Time.Before(f.Since) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
				number > f.After && (f.Last == 0 || number <= f.Last) {
				want = append(want, e)
			}
		}
		var got []JournaledEvent
		for e, err := range r.journal.Events(t.Context(), f) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, e)
		}
		same := slices.EqualFunc(got, want, func(g JournaledEvent, w Event) bool {
			return g.ID == w.ID && g.Event.ID == w.ID && g.Origin == w.Origin
		})
		if !same {
			rt.Fatalf("%d events, want %d", len(got), len(want))
		}
		if len(got) > 12 {
			return // reading is cheaper to try than sending
		}
		run++
		for _, e := range got {
			for range 1 + rapid.IntRange(0, 1).Draw(rt, "again") {
				if _, err := r.journal.Replay(t.Context(), "bot", fmt.Sprint(run), e.Record); err != nil {
					rt.Fatal(err)
				}
			}
		}
		seen += len(want)
		r.eventually(func() error {
			if has := box.count(); has != seen {
				return fmt.Errorf("the sink has %d events, want %d", has, seen)
			}
			return nil
		})
		for _, account := range accounts {
			of := slices.DeleteFunc(slices.Clone(want), func(e Event) bool { return e.Data.Account != account })
			box.mu.Lock()
			last := box.got[account][len(box.got[account])-len(of):]
			box.mu.Unlock()
			for i, e := range of {
				e.Origin = OriginReplay
				line, err := e.Line()
				if err != nil {
					rt.Fatal(err)
				}
				if last[i].ID != e.ID || last[i].Origin != OriginReplay || string(last[i].Line) != string(line) {
					rt.Fatalf("replayed %s of origin %s as %s, want %s", last[i].ID, last[i].Origin, last[i].Line, line)
				}
			}
		}
	})
	if run < 10 {
		t.Errorf("only %d replays were tried", run)
	}
	if got := len(r.events(EventFilter{Origins: []Origin{OriginReplay}})); got != seen {
		t.Errorf("the journal shows %d replays, want %d", got, seen)
	}
}

func TestAsReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{`{"origin":"live"}`, "\u2028<&>", "a\"b\\", "\x00\x7f", "🍕"}).Draw(rt, "text")
		raw, err := json.Marshal(map[string]any{"origin": text, "n": 1.50})
		if err != nil {
			rt.Fatal(err)
		}
		e := Event{
			SpecVersion: SpecVersion, ID: "trt_1", Origin: OriginLive, Time: time.Unix(rapid.Int64Range(0, 1<<32).Draw(rt, "time"), 0).UTC(),
			Data: Data{Title: &text, Message: &text, Raw: raw},
		}
		before, err := e.Line()
		if err != nil {
			rt.Fatal(err)
		}
		got, err := asReplay(before)
		if err != nil {
			rt.Fatal(err)
		}
		e.Origin = OriginReplay
		if want, _ := e.Line(); string(got) != string(want) {
			rt.Errorf("%s, want %s", got, want)
		}
	})
	const foreign = `{ "new" : [1, {"origin":"x"}], "origin" : "live" , "more":1.0 }`
	if got, err := asReplay([]byte(foreign)); err != nil || string(got) != strings.Replace(foreign, `"live"`, `"replay"`, 1) {
		t.Errorf("%s (%v)", got, err)
	}
	for _, line := range []string{"", "[]", "{}", `{"a":`, `{"data":{"origin":"live"}}`, `{"origin"`} {
		if got, err := asReplay([]byte(line)); err == nil {
			t.Errorf("%q becomes %q", line, got)
		}
	}
}

// What a sink does not want is not forced on it by a replay, a redrive or a test for it alone.
func TestLaneRules(t *testing.T) {
	r := newRig(t, t.TempDir())
	picky, open := &box{}, &box{}
	filter, err := NewFilter(`data.title != "t000002"`)
	if err != nil {
		t.Fatal(err)
	}
	r.lane(picky, LaneConfig{Sink: "picky", Accounts: []string{"ann"}, Filter: filter, SkipTests: true, Backfill: SkipBackfill})
	r.lane(open, LaneConfig{Sink: "open"})
	at := time.Now()
	for i, e := range []struct {
		account string
		origin  Origin
	}{{"ann", OriginLive}, {"ann", OriginBackfill}, {"ann", OriginLive}, {"bob", OriginLive}, {"ann", OriginTest}} {
		r.put(e.account, e.origin, at, i)
		r.eventually(func() error {
			if n := open.count(); n != i+1 {
				return fmt.Errorf("%d events, want %d", n, i+1)
			}
			return nil
		})
	}
	for _, sink := range []string{"picky", "open"} {
		for e, err := range r.journal.Events(t.Context(), EventFilter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.journal.Replay(t.Context(), sink, "run", e.Record); err != nil {
				t.Fatal(err)
			}
		}
		test := (&Normalizer{Account: "ann", Provider: "treatstream", Location: time.UTC}).TestEvent(at, "", "t000005", "")
		if err := r.journal.PutTest(t.Context(), &test, sink); err != nil {
			t.Fatal(err)
		}
	}
	r.put("ann", OriginLive, at, 6)
	// A replay of a backfilled event or a test is a replay: somebody asked for that very event.
	r.holds(picky, "ann", []string{"t000000", "t000000", "t000001", "t000004", "t000006"})
	r.holds(open, "ann", []string{"t000000", "t000001", "t000002", "t000004", "t000000", "t000001", "t000002", "t000004", "t000005", "t000006"})
	r.holds(open, "bob", []string{"t000003", "t000003"})
	r.holds(picky, "bob", nil)
	if got := r.metric("relay_sink_filtered_total"); got != 6 { // backfill, filter twice, account, test twice
		t.Errorf("%v events left out, want 6", got)
	}
}

// A test event is of the schema, has an id like no treat's, and changes nothing for the treats of the same content. One for a sink
// alone is no event of the journal, but can be found.
func TestTestEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	schema := eventSchema(t)
	norm := Normalizer{Account: "acc", Provider: "treatstream", Location: time.FixedZone("there", 2*3600)}
	at := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	ids := make(map[string]bool)
	for _, text := range []string{"", "Pizza", "\u2028<b>\x00"} {
		e := norm.TestEvent(at, text, text, text)
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(line)))
		if err == nil {
			err = schema.Validate(value)
		}
		made, ok := TimeOfID(e.ID)
		if err != nil || !strings.HasPrefix(e.ID, testIDPrefix) || ids[e.ID] || !ok || !made.Equal(at) || !e.Time.Equal(at) || *e.Data.DateCreated != "2026-07-16 23:00:00" {
			t.Errorf("%s: %v", line, err)
		}
		ids[e.ID] = true
	}

	in := r.intake("acc")
	test := norm.TestEvent(time.Now(), "s", "t000000", "")
	test.Data.DateCreated, test.Data.Message = nil, nil
	date := "2026-07-16 21:00:00"
	test.Data.DateCreated = &date // now its content is that of the treat
	for range 2 {
		if err := r.journal.PutTest(t.Context(), &test, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.send(in, 0, 1)
	r.count("relay_events_journaled_total", 1)
	events := r.journaled("acc")
	if len(events) != 2 || events[0].ID != test.ID || events[1].ID != NewID(events[1].Time, NewKey(&events[1].Data), 0) {
		t.Errorf("events %+v", events)
	}

	alone := norm.TestEvent(time.Now(), "s", "t", "")
	if err := r.journal.PutTest(t.Context(), &alone, "bot"); err != nil {
		t.Fatal(err)
	}
	if got := r.events(EventFilter{}); !slices.Equal(got, []string{test.ID, events[1].ID}) {
		t.Errorf("events %v", got)
	}
	if got := r.events(EventFilter{Origins: []Origin{OriginTest}}); !slices.Equal(got, []string{test.ID, alone.ID}) {
		t.Errorf("tests %v", got)
	}
	trace, err := r.journal.Trace(t.Context(), alone.ID)
	if err != nil || trace.Event.Seq == 0 || trace.Event.Origin != OriginTest || len(trace.Steps) != 0 {
		t.Errorf("trace %+v (%v)", trace, err)
	}
}

// What was replayed and refused and is redriven is not shown as a replay twice, and a trace tells one from the other.
func TestReplayRedriven(t *testing.T) {
	r := newRig(t, t.TempDir())
	e := r.put("acc", OriginLive, time.Now(), 0)
	r.count("relay_events_journaled_total", 1)
	if _, err := r.journal.Replay(t.Context(), "bot", "run", r.record(1)); err != nil {
		t.Fatal(err)
	}
	if err := r.journal.deadLetter(t.Context(), "bot", "no", 1, r.record(2)); err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Redrive(t.Context(), r.letters(1, DeadLetterFilter{})[0]); err != nil {
		t.Fatal(err)
	}
	if got := r.events(EventFilter{Origins: []Origin{OriginReplay}}); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("replays %v", got)
	}
	trace, err := r.journal.Trace(t.Context(), e.ID)
	if err != nil || len(trace.Steps) != 2 || !trace.Steps[0].Resent.Replay || trace.Steps[1].Resent.Replay || trace.Steps[1].Resent.DeadLetter == 0 {
		t.Errorf("trace %+v (%v)", trace, err)
	}
}

// Many events at a time are each replayed once, in order, also when some of them were before, and are delivered with id and time.
func TestReplayOfMany(t *testing.T) {
	const n = 100
	r := newRig(t, t.TempDir())
	r.send(r.intake("acc"), 0, n)
	r.count("relay_events_journaled_total", n)
	b := &box{}
	r.lane(b, LaneConfig{})
	var records []Record
	for e, err := range r.journal.Events(t.Context(), EventFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, e.Record)
	}
	if len(records) != n {
		t.Fatalf("the journal has %d events, want %d", len(records), n)
	}
	for _, part := range [][2]int{{0, 40}, {0, 40}, {20, 80}, {79, 82}, {0, n}} {
		done, err := r.journal.Replay(t.Context(), "box", "run", records[part[0]:part[1]]...)
		if err != nil || done != part[1]-part[0] {
			t.Errorf("events %v: %d were replayed, %v", part, done, err)
		}
	}
	r.holds(b, "acc", wantTitles(0, n))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, got := range b.got["acc"] {
		if want := records[i]; got.ID != want.ID || got.Origin != OriginReplay {
			t.Errorf("event %d is %s, %s, want %s", i, got.ID, got.Origin, want.ID)
		}
	}
}
