package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// events are the ids of those that match.
func (r *rig) events(f query.EventFilter) (ids []string) {
	r.t.Helper()
	for e, err := range query.Events(r.t.Context(), r.Journal, f) {
		if err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// putTest journals a test event.
func (r *rig) putTest(account string, at time.Time, n int, sink string) pipeline.Event {
	r.t.Helper()
	e := stacktest.Event(account, pipeline.OriginTest, at, n)
	e.ID = "tst_" + strings.TrimPrefix(e.ID, pipeline.TreatIDPrefix)
	if err := r.Journal.PutTest(r.t.Context(), &e, sink); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// What a filter yields, and what a replay of it puts before a sink, is exactly what a model says, whatever the range: each event once in a
// run, with its own id and time, and not a byte changed beside the origin.
func TestReplayProperty(t *testing.T) {
	r := newRig(t, t.TempDir())
	now := time.Now().UTC().Truncate(time.Millisecond)
	accounts := []string{"ann", "bob", "cy"}
	origins := []pipeline.Origin{pipeline.OriginLive, pipeline.OriginLive, pipeline.OriginBackfill, pipeline.OriginTest}
	var model []pipeline.Event
	random := rapid.Custom(func(t *rapid.T) pipeline.Event {
		return pipeline.Event{
			Origin: rapid.SampledFrom(origins).Draw(t, "origin"), Data: pipeline.Data{Account: rapid.SampledFrom(accounts).Draw(t, "account")},
			Time: now.Add(time.Duration(rapid.IntRange(-48, 12).Draw(t, "hours")) * time.Hour),
		}
	})
	const n = 80
	for i := range n {
		e := random.Example(i + 1)
		if e.Origin == pipeline.OriginTest {
			model = append(model, r.putTest(e.Data.Account, e.Time, i, ""))
			continue
		}
		made, _ := r.put(e.Data.Account, e.Origin, e.Time, i)
		model = append(model, made)
	}
	seen, run := 0, 0 // of what the sink has
	rapid.Check(t, func(rt *rapid.T) {
		f := randomFilter(rt, now, accounts, origins, model)
		want := matching(model, &f)
		var got []query.Event
		for e, err := range query.Events(t.Context(), r.Journal, f) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, e)
		}
		same := slices.EqualFunc(got, want, func(g query.Event, w pipeline.Event) bool {
			e, err := g.Event()
			return err == nil && g.ID == w.ID && e.ID == w.ID && g.Origin == w.Origin && g.Time.Equal(w.Time) && !g.Journaled.IsZero()
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
				if _, err := r.Journal.Replay(t.Context(), "bot", fmt.Sprint(run), e.Record); err != nil {
					rt.Fatal(err)
				}
			}
		}
		resent := r.resent("bot")
		if len(resent) != seen+len(want) {
			rt.Fatalf("the sink has %d events, want %d", len(resent), seen+len(want))
		}
		for i, e := range want {
			e.Origin = pipeline.OriginReplay
			line, err := e.Line()
			if err != nil {
				rt.Fatal(err)
			}
			if last := resent[seen+i]; last.ID != e.ID || last.Origin != pipeline.OriginReplay || string(last.Line) != string(line) || last.Account != e.Data.Account {
				rt.Fatalf("replayed %s of origin %s as %s, want %s", last.ID, last.Origin, last.Line, line)
			}
		}
		seen = len(resent)
	})
	if run < 10 {
		t.Errorf("only %d replays were tried", run)
	}
	if got := len(r.events(query.EventFilter{Origins: []pipeline.Origin{pipeline.OriginReplay}})); got != seen {
		t.Errorf("the journal shows %d replays, want %d", got, seen)
	}
}

func randomFilter(rt *rapid.T, now time.Time, accounts []string, origins []pipeline.Origin, model []pipeline.Event) query.EventFilter {
	f := query.EventFilter{
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
		f.IDs = []string{model[rapid.IntRange(0, len(model)-1).Draw(rt, "id")].ID, model[0].ID}
	}
	f.After = rapid.SampledFrom([]uint64{0, 0, 1, 20, uint64(len(model))}).Draw(rt, "after")
	f.Last = rapid.SampledFrom([]uint64{0, 1, 60, uint64(len(model))}).Draw(rt, "last")
	return f
}

func matching(model []pipeline.Event, f *query.EventFilter) (want []pipeline.Event) {
	for i, e := range model {
		number := uint64(i + 1)
		if (len(f.Accounts) == 0 || slices.Contains(f.Accounts, e.Data.Account)) && (len(f.Origins) == 0 || slices.Contains(f.Origins, e.Origin)) &&
			(len(f.IDs) == 0 || slices.Contains(f.IDs, e.ID)) && !e.Time.Before(f.Since) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
			number > f.After && (f.Last == 0 || number <= f.Last) {
			want = append(want, e)
		}
	}
	return want
}

func TestAsReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{`{"origin":"live"}`, `,"origin":"live"`, "\u2028<&>", "a\"b\\", "\x00\x7f", "🍕"}).Draw(rt, "text")
		raw, err := json.Marshal(map[string]any{"origin": text, "n": 1.50})
		if err != nil {
			rt.Fatal(err)
		}
		e := pipeline.Event{
			SpecVersion: pipeline.SpecVersion, ID: "trt_1", Source: rapid.SampledFrom([]string{"/a/b", text}).Draw(rt, "source"),
			Origin: pipeline.OriginLive, Time: time.Unix(rapid.Int64Range(0, 1<<32).Draw(rt, "time"), 0).UTC(),
			Data: pipeline.Data{Title: &text, Message: &text, Raw: raw},
		}
		before, err := e.Line()
		if err != nil {
			rt.Fatal(err)
		}
		got, err := journal.AsReplay(before)
		if err != nil {
			rt.Fatal(err)
		}
		e.Origin = pipeline.OriginReplay
		if want, _ := e.Line(); string(got) != string(want) {
			rt.Errorf("%s, want %s", got, want)
		}
		if at, err := journal.EventTime(before); err != nil || !at.Equal(e.Time) {
			rt.Errorf("time %v, %v, want %v", at, err, e.Time)
		}
	})
	const foreign = `{ "new" : [1, {"origin":"x"}], "origin" : "live" , "more":1.0 }`
	if got, err := journal.AsReplay([]byte(foreign)); err != nil || string(got) != strings.Replace(foreign, `"live"`, `"replay"`, 1) {
		t.Errorf("%s (%v)", got, err)
	}
	const tight = `{"a":{"x":1,"origin":"x","time":"2026-07-16T21:00:00Z"},"origin":"live","time":"2026-07-17T21:00:00Z"}`
	if got, err := journal.AsReplay([]byte(tight)); err != nil || string(got) != strings.Replace(tight, `"live"`, `"replay"`, 1) {
		t.Errorf("%s (%v)", got, err)
	}
	if at, err := journal.EventTime([]byte(tight)); err != nil || at.Day() != 17 {
		t.Errorf("time %v (%v)", at, err)
	}
	for _, line := range []string{"", "[]", "{}", `{"a":`, `{"data":{"origin":"live"}}`, `{"origin"`} {
		if got, err := journal.AsReplay([]byte(line)); err == nil {
			t.Errorf("%q becomes %q", line, got)
		}
	}
}

// A test event changes nothing for the treats of the same content. One for a sink alone is no event of the journal, but can be found.
func TestTestEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	test := r.putTest("acc", time.Now(), 0, "")
	if err := r.Journal.PutTest(t.Context(), &test, ""); err != nil { // again
		t.Fatal(err)
	}
	treat, _ := r.put("acc", pipeline.OriginLive, test.Time, 0)
	alone := r.putTest("acc", time.Now(), 1, "bot")
	if got := r.events(query.EventFilter{}); !slices.Equal(got, []string{test.ID, treat.ID}) {
		t.Errorf("events %v", got)
	}
	if got := r.events(query.EventFilter{Origins: []pipeline.Origin{pipeline.OriginTest}}); !slices.Equal(got, []string{test.ID, alone.ID}) {
		t.Errorf("tests %v", got)
	}
	for _, rec := range r.records() {
		if rec.Origin == pipeline.OriginTest && rec.Repeat != 0 {
			t.Errorf("a test counts as a repeat: %+v", rec)
		}
	}
	trace, err := query.Find(t.Context(), r.Journal, alone.ID)
	if err != nil || trace.Event.Seq == 0 || trace.Event.Origin != pipeline.OriginTest || len(trace.Steps) != 0 {
		t.Errorf("trace %+v (%v)", trace, err)
	}
}

// What was replayed and refused and is redriven is not shown as a replay twice, and a trace tells one from the other.
func TestReplayRedriven(t *testing.T) {
	r := newRig(t, t.TempDir())
	e, _ := r.put("acc", pipeline.OriginLive, time.Now(), 0)
	if _, err := r.Journal.Replay(t.Context(), "bot", "run", r.record(1)); err != nil {
		t.Fatal(err)
	}
	if err := r.Journal.KeepDeadLetter(t.Context(), "bot", "no", 1, r.record(2)); err != nil {
		t.Fatal(err)
	}
	if err := r.Journal.Redrive(t.Context(), r.letters(1, journal.DeadLetterFilter{})[0]); err != nil {
		t.Fatal(err)
	}
	if got := r.events(query.EventFilter{Origins: []pipeline.Origin{pipeline.OriginReplay}}); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("replays %v", got)
	}
	trace, err := query.Find(t.Context(), r.Journal, e.ID)
	if err != nil || len(trace.Steps) != 2 || !trace.Steps[0].Resent.Replay || trace.Steps[1].Resent.Replay || trace.Steps[1].Resent.DeadLetter == 0 {
		t.Errorf("trace %+v (%v)", trace, err)
	}
}

// Many events at a time are each replayed once, in order, also when some of them were before, with id and time.
func TestReplayOfMany(t *testing.T) {
	const n = 100
	r := newRig(t, t.TempDir())
	r.send("acc", 0, n)
	r.count("relay_events_journaled_total", n)
	var records []pipeline.Record
	for e, err := range query.Events(t.Context(), r.Journal, query.EventFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, e.Record)
	}
	if len(records) != n {
		t.Fatalf("the journal has %d events, want %d", len(records), n)
	}
	for _, part := range [][2]int{{0, 40}, {0, 40}, {20, 80}, {79, 82}, {0, n}} {
		done, err := r.Journal.Replay(t.Context(), "box", "run", records[part[0]:part[1]]...)
		if err != nil || done != part[1]-part[0] {
			t.Errorf("events %v: %d were replayed, %v", part, done, err)
		}
	}
	got := r.resent("box")
	if titles := titlesOf(t, got); !slices.Equal(titles, stacktest.Titles(0, n)) {
		t.Errorf("replayed %d events: %v", len(titles), titles)
	}
	for i, one := range got {
		if want := records[i]; one.ID != want.ID || one.Origin != pipeline.OriginReplay {
			t.Errorf("event %d is %s, %s, want %s", i, one.ID, one.Origin, want.ID)
		}
	}
}

// An imported event is shown, and found, and handed to nobody.
func TestImportedEvent(t *testing.T) {
	r := newRig(t, t.TempDir())
	e := stacktest.Event("acc", pipeline.OriginLive, time.Now().Add(-time.Hour), 0)
	entry := treatItem(t, &e).Entry
	entry.Kind = journal.Import
	if _, err := r.Journal.Put(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if got := r.events(query.EventFilter{}); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("events %v", got)
	}
	trace, err := query.Find(t.Context(), r.Journal, e.ID)
	if err != nil || trace.Event.Seq != 1 {
		t.Errorf("trace %+v, %v", trace, err)
	}
	if _, err := query.Find(t.Context(), r.Journal, "trt_nothing"); !errors.Is(err, query.ErrUnknownEvent) {
		t.Errorf("error %v", err)
	}
}
