package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/pipeline/journal"
)

// digestSchema is the published schema, with its formats checked.
func digestSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../../docs/digest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// valid returns what is wrong with a line.
func valid(schema *jsonschema.Schema, line []byte) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(line)))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// digests waits until the box has so many different digests of an account, each of the published schema, and returns them.
func (r *rig) digests(b *box, account string, n int) (all []pipeline.Digest) {
	r.t.Helper()
	schema := digestSchema(r.t)
	r.eventually(func() error {
		all = nil
		b.mu.Lock()
		defer b.mu.Unlock()
		seen := make(map[string]string)
		for _, record := range b.got[account] {
			if record.Type != pipeline.DigestType {
				continue
			}
			if err := valid(schema, record.Line); err != nil {
				r.t.Fatalf("%v in %s", err, record.Line)
			}
			d, err := record.Digest()
			if before, again := seen[record.ID]; again && before != string(record.Line) || err != nil || d.ID != record.ID {
				r.t.Fatalf("%s has the line %s after %s: %v", record.ID, record.Line, before, err)
			} else if !again {
				all = append(all, d)
			}
			seen[record.ID] = string(record.Line)
		}
		if len(all) != n {
			return fmt.Errorf("%d digests, want %d; %s", len(all), n, r.lanes())
		}
		return nil
	})
	return all
}

// evening is when the treats of these tests were sent.
func evening() time.Time { return time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC) }

var giftCount atomic.Uint64

// gift is a treat with these texts, so many seconds after begin. An empty one is left out.
func gift(account string, origin pipeline.Origin, sender, title string, begin time.Time, second int) pipeline.Event {
	e := newEvent(account, origin, 0)
	e.Time = begin.Add(time.Duration(second) * time.Second).UTC()
	e.Data.Sender, e.Data.Title = &sender, &title
	if sender == "" {
		e.Data.Sender, e.Data.Anonymous = nil, true
	}
	if title == "" {
		e.Data.Title = nil
	}
	e.ID = pipeline.NewID(e.Time, pipeline.NewKey(&e.Data), giftCount.Add(1))
	return e
}

// journaled puts events into the journal, and returns their numbers.
func (r *rig) journaled(events ...pipeline.Event) (numbers []uint64) {
	r.t.Helper()
	for i := range events {
		numbers = append(numbers, r.put(entryOf(r.t, &events[i]))...)
	}
	return numbers
}

// mark journals the mark of a healing.
func (r *rig) mark(account string, first, last uint64) {
	r.t.Helper()
	data, err := pipeline.EncodeJSON(journal.BackfillBatch{Account: account, Provider: "treatstream", Range: journal.Range{First: first, Last: last}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.put(journal.Entry{Kind: journal.Backfill, Account: account, Provider: "treatstream", Origin: pipeline.OriginBackfill, Data: data})
}

// healed journals treats from the history, and their mark.
func (r *rig) healed(account string, n int) {
	r.t.Helper()
	var events []pipeline.Event
	for i := range n {
		events = append(events, gift(account, pipeline.OriginBackfill, "Ann", fmt.Sprint("Pie ", i), evening(), i))
	}
	numbers := r.journaled(events...)
	r.mark(account, numbers[0], numbers[n-1])
}

// order is what a box got of the account, in short.
func (b *box) order(t *testing.T, account string) (order []string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, record := range b.got[account] {
		if record.Type == pipeline.DigestType {
			order = append(order, "digest")
			continue
		}
		e, err := record.Event()
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Data.Title == nil:
			order = append(order, "null")
		default:
			order = append(order, *e.Data.Title)
		}
	}
	return order
}

// Sinks are sent what was healed as their rules say, one by one, not at all, or as one digest in the order of the journal.
func TestDigest(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	filter, err := rules.NewFilter(`data.title != "Rice"`)
	check(t, err)
	var each, none, all, picky, hidden, hashed, other box
	r.lane(&each, LaneConfig{Sink: "each"})
	r.lane(&none, LaneConfig{Sink: "none", Selection: rules.Selection{Backfill: rules.SkipBackfill}})
	r.lane(&all, LaneConfig{Sink: "all", Selection: rules.Selection{Backfill: rules.DigestBackfill}})
	r.lane(&picky, LaneConfig{Sink: "picky", Selection: rules.Selection{Backfill: rules.DigestBackfill, Filter: filter, Accounts: []string{"acc"}}})
	r.lane(&hidden, LaneConfig{Sink: "hidden", Selection: rules.Selection{Backfill: rules.DigestBackfill, Sender: rules.HideSender}})
	r.lane(&hashed, LaneConfig{Sink: "hashed", Selection: rules.Selection{Backfill: rules.DigestBackfill, Sender: rules.HashSender}})
	r.lane(&other, LaneConfig{Sink: "other", Selection: rules.Selection{Backfill: rules.DigestBackfill, Accounts: []string{"someone-else"}}})
	const live, back = pipeline.OriginLive, pipeline.OriginBackfill
	r.journaled(gift("acc", live, "Dan", "Live", begin, 6))
	numbers := r.journaled(gift("acc", back, "Ann", "Pie", begin, 1), gift("acc", back, "Bob", "Tea", begin, 2), gift("acc", back, "", "Rice", begin, 3),
		gift("acc", back, "Ann", "Tea", begin, 4), gift("acc", back, "Cy", "", begin, 5))
	r.mark("acc", numbers[0], numbers[4])
	r.journaled(gift("acc", live, "Dan", "Later", begin, 7))

	d := r.digests(&all, "acc", 1)[0]
	want := pipeline.DigestData{
		Account: "acc", Provider: "treatstream", Count: 5, First: begin.Add(time.Second).UTC(), Last: begin.Add(5 * time.Second).UTC(), Senders: 3, Anonymous: 1,
		Top: []pipeline.TitleCount{{Title: "Tea", Count: 2}, {Title: "Pie", Count: 1}, {Title: "Rice", Count: 1}}, From: []string{"Ann", "Bob", "Cy"},
	}
	if diff := cmp.Diff(want, d.Data); diff != "" {
		t.Errorf("digest (-want +got):\n%s", diff)
	}
	if d.SpecVersion != "1.0" || d.Source != "/treatstream/acc" || d.Type != pipeline.DigestType || d.Origin != back || d.DataContentType != pipeline.DataContentType || d.Time.Before(d.Data.Last) {
		t.Errorf("digest %+v", d)
	}
	want.Count, want.Anonymous, want.Top = 4, 0, []pipeline.TitleCount{{Title: "Tea", Count: 2}, {Title: "Pie", Count: 1}}
	p2 := r.digests(&picky, "acc", 1)[0]
	if diff := cmp.Diff(want, p2.Data); diff != "" {
		t.Errorf("digest behind a filter (-want +got):\n%s", diff)
	}
	if p2.ID == d.ID {
		t.Error("two sinks have digests of one id")
	}
	if got := r.digests(&hidden, "acc", 1)[0].Data; got.Senders != 0 || got.Anonymous != 5 || len(got.From) != 0 || got.Count != 5 {
		t.Errorf("digest without names: %+v", got)
	}
	got := r.digests(&hashed, "acc", 1)[0].Data
	if got.Senders != 3 || got.Anonymous != 1 || len(got.From) != 3 || !regexp.MustCompile(`^viewer-[0-9a-f]{16}$`).MatchString(got.From[0]) {
		t.Errorf("digest with hashes: %+v", got)
	}
	for _, tt := range []struct {
		name string
		box  *box
		want []string
	}{
		{"deliver", &each, []string{"Live", "Pie", "Tea", "Rice", "Tea", "null", "Later"}},
		{"skip", &none, []string{"Live", "Later"}},
		{"digest", &all, []string{"Live", "digest", "Later"}},
	} {
		r.eventually(func() error {
			if got := tt.box.order(t, "acc"); !slices.Equal(got, tt.want) {
				return fmt.Errorf("%s got %v, want %v", tt.name, got, tt.want)
			}
			return nil
		})
	}
	if n := len(other.order(t, "acc")); n != 0 {
		t.Errorf("the sink of another account got %d", n)
	}
	hash := ""
	r.eventually(func() error { // the name of a treat and of a digest is the same
		hashed.mu.Lock()
		defer hashed.mu.Unlock()
		for _, record := range hashed.got["acc"] {
			if record.Type != pipeline.EventType {
				continue
			}
			if e, err := record.Event(); err != nil {
				return err
			} else if *e.Data.Title == "Later" {
				hash = *e.Data.Sender
				return nil
			}
		}
		return errors.New("the last treat has not come")
	})
	if !strings.HasPrefix(hash, "viewer-") {
		t.Errorf("sender %s", hash)
	}
}

// A digest that a sink refuses becomes a dead letter with its line, and is redriven with its id. What the sink gets to know of senders
// is decided when it is sent.
func TestDigestAsDeadLetter(t *testing.T) {
	r := newRig(t, t.TempDir())
	refusing := &box{rule: func(_ context.Context, record pipeline.Record) error {
		if record.Type == pipeline.DigestType {
			return pipeline.Permanent(errors.New("400 Bad Request"))
		}
		return nil
	}}
	cfg := LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}}
	_, stop := r.lane(refusing, cfg)
	r.healed("acc", 3)
	letter := r.letter()
	if err := valid(digestSchema(t), letter.Event); err != nil || letter.Type != pipeline.DigestType || letter.Account != "acc" || !strings.HasPrefix(letter.ID, "dig_") {
		t.Fatalf("%+v: %v", letter, err)
	}
	check(t, stop(true))
	var sink box
	cfg.Sender = rules.HideSender
	r.lane(&sink, cfg)
	check(t, r.journal.Redrive(t.Context(), letter))
	d := r.digests(&sink, "acc", 1)[0]
	if d.ID != letter.ID || d.Data.Count != 3 || d.Data.Senders != 0 || len(d.Data.From) != 0 {
		t.Errorf("redriven: %+v", d)
	}
}

// letter waits for the one dead letter.
func (r *rig) letter() (letter journal.DeadLetter) {
	r.t.Helper()
	r.eventually(func() error {
		all, err := r.letters()
		if err != nil || len(all) != 1 {
			return fmt.Errorf("%d dead letters, %w", len(all), err)
		}
		letter = all[0]
		return nil
	})
	return letter
}

// A treat from the history that was given up is sent again as itself, also by a lane that has changed to digests.
func TestRedriveOfABackfillToADigestSink(t *testing.T) {
	r := newRig(t, t.TempDir())
	_, stop := r.lane(&box{rule: func(context.Context, pipeline.Record) error { return pipeline.Permanent(errors.New("400 Bad Request")) }}, LaneConfig{})
	r.healed("acc", 1)
	letter := r.letter()
	check(t, stop(true))
	var sink box
	r.lane(&sink, LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}})
	check(t, r.journal.Redrive(t.Context(), letter))
	r.holds(&sink, "acc", []string{"Pie 0"})
}

// Treats from the history are lost with their mark, and healed again: whoever had not got the digest of that mark gets another, and nobody else does.
func TestDigestOfALostMark(t *testing.T) {
	for name, sent := range map[string]bool{"before its digest is sent": false, "after its digest is sent": true} {
		t.Run(name, func(t *testing.T) {
			dir, older := t.TempDir(), filepath.Join(t.TempDir(), "older")
			cfg := LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}}
			r := newRig(t, dir)
			r.send("acc", 0, 1)
			r.stop()
			copyDir(t, filepath.Join(dir, "journal"), older)

			r = newRig(t, dir)
			var up atomic.Bool
			up.Store(sent)
			sink := &box{rule: func(_ context.Context, record pipeline.Record) error {
				if record.Type == pipeline.DigestType && !up.Load() {
					return pipeline.Unavailable(errors.New("connection refused"))
				}
				return nil
			}}
			_, stop := r.lane(sink, cfg)
			events := []pipeline.Event{
				gift("acc", pipeline.OriginBackfill, "Ann", "Pie", evening(), 1), gift("acc", pipeline.OriginBackfill, "Ben", "Tea", evening(), 2),
			}
			numbers := r.journaled(events...)
			r.mark("acc", numbers[0], numbers[1])
			mark := numbers[1] + 1
			if sent {
				r.digests(sink, "acc", 1)
			} else {
				r.count("relay_sink_in_flight", 1)
			}
			check(t, stop(true))
			r.stop()

			check(t, os.RemoveAll(filepath.Join(dir, "journal")))
			check(t, os.Rename(older, filepath.Join(dir, "journal")))
			r = newRig(t, dir)
			up.Store(true)
			r.lane(sink, cfg)
			var again []uint64
			for i := range events {
				entry := entryOf(t, &events[i])
				entry.Ref, entry.Was, entry.Batch = numbers[i], pipeline.OriginBackfill, mark
				again = append(again, r.put(entry)...)
			}
			r.mark("acc", again[0], again[1])
			r.send("acc", 1, 2)
			r.eventually(func() error {
				if got := sink.order(t, "acc"); len(got) == 0 || got[len(got)-1] != wantTitles(1, 2)[0] {
					return fmt.Errorf("got %q", got)
				}
				return nil
			})
			if d := r.digests(sink, "acc", 1)[0]; d.Data.Count != 2 {
				t.Errorf("a digest of %d treats, want 2", d.Data.Count)
			}
		})
	}
}

// A digest that is deferred, here over a restart, is made again when it is its turn.
func TestDigestStepsAside(t *testing.T) {
	r := newRig(t, t.TempDir())
	var refuse atomic.Bool
	refuse.Store(true)
	sink := &box{rule: func(_ context.Context, record pipeline.Record) error {
		if record.Type == pipeline.DigestType && refuse.Load() {
			return pipeline.RetryAfter(2*schedule.LongWait, errors.New("500 Internal Server Error"))
		}
		return nil
	}}
	cfg := LaneConfig{Selection: rules.Selection{Backfill: rules.DigestBackfill}}
	_, stop := r.lane(sink, cfg)
	r.healed("acc", 4)
	r.count("relay_sink_retries_waiting", 1)
	r.send(r.intake("acc"), 0, 1)
	r.eventually(func() error {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		if len(sink.got["acc"]) != 1 {
			return errors.New("nothing passes the digest")
		}
		return nil
	})
	check(t, stop(true))
	retries := r.retries("box")
	if len(retries) != 1 || !strings.HasPrefix(retries[0].ID, "dig_") {
		t.Fatalf("retries %+v", retries)
	}
	retries[0].Next = time.Now()
	check(t, schedule.NewStore(r.state, "box").Put(t.Context(), retries[0]))
	refuse.Store(false)
	r.lane(sink, LaneConfig{}) // the sink's rule is another one meanwhile
	if d := r.digests(sink, "acc", 1)[0]; d.ID != retries[0].ID || d.Data.Count != 4 {
		t.Errorf("%+v", d)
	}
	r.count("relay_sink_retries_waiting", 0)
}
