package journal_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/pipeline/journal/statefile"
)

// Whoever follows the journal gets each event once and in order, beside its writer or in a process of his own.
func TestFollow(t *testing.T) {
	r := newRig(t, t.TempDir())
	beside, err := filelog.OpenReader(t.Context(), logOptions(t, r.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
	}()
	reader, err := journal.Attach(t.Context(), journal.Config{Log: beside, State: r.State})
	if !errors.Is(err, journal.ErrNoJournal) && err != nil {
		t.Fatal(err)
	}
	if reader == nil {
		t.Fatal("a journal that was opened once is none")
	}
	r.send("acc", 0, 100)
	r.send("other", 0, 3)
	r.count("relay_events_journaled_total", 103)
	for name, follower := range map[string]*journal.Journal{"beside its writer": r.Journal, "a reader": reader} {
		ctx, cancel := context.WithCancel(t.Context())
		var last uint64
		var got []string
		enough := errors.New("enough")
		visit := func(until int) func(query.Event) error {
			return func(e query.Event) error {
				last = e.Seq
				got = append(got, titlesOf(t, []pipeline.Record{e.Record})...)
				if len(got) == until {
					return enough
				}
				return nil
			}
		}
		account := []string{"acc"}
		if err := query.Follow(ctx, follower, query.FollowConfig{Accounts: account}, visit(100)); !errors.Is(err, enough) {
			t.Fatalf("%s: %v", name, err)
		}
		before := r.Metric(r.t, "relay_events_journaled_total")
		done := make(chan error, 1)
		go func() {
			done <- query.Follow(ctx, follower, query.FollowConfig{Accounts: account, After: last}, visit(200))
		}()
		if before == 103 { // the second one finds them there
			r.send("acc", 100, 200)
			r.count("relay_events_journaled_total", 203)
			if err := r.Journal.Resend(t.Context(), "bot", r.record(1), "again"); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; !errors.Is(err, enough) {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(got, stacktest.Titles(0, 200)) {
			t.Errorf("%s: got %d events: %v", name, len(got), got)
		}
		since := time.Now()
		now := int(r.Metric(r.t, "relay_events_journaled_total"))
		r.send("late", now, now+2)
		got = nil
		err := query.Follow(ctx, follower, query.FollowConfig{Accounts: []string{"late"}, Since: since}, visit(2))
		if !errors.Is(err, enough) || !slices.Equal(got, stacktest.Titles(now, now+2)) {
			t.Errorf("%s: since: %q, %v", name, got, err)
		}
		cancel()
		if err := query.Follow(ctx, follower, query.FollowConfig{After: last}, visit(-1)); err != nil {
			t.Errorf("%s: after the end: %v", name, err)
		}
	}
}

// Whoever waits when the committer ends, or begins, still hears of what comes.
func TestFollowOverTheEndOfRun(t *testing.T) {
	r := openRig(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan uint64, 10)
	done := make(chan error, 1)
	go func() {
		done <- query.Follow(ctx, r.Journal, query.FollowConfig{}, func(e query.Event) error {
			got <- e.Seq
			return nil
		})
	}()
	next := func(want uint64) {
		t.Helper()
		select {
		case number := <-got:
			if number != want {
				t.Errorf("number %d, want %d", number, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nothing is heard of number %d", want)
		}
	}
	r.put("acc", pipeline.OriginLive, time.Now(), 0)
	next(1)
	ran := make(chan error, 1)
	go func() { ran <- r.Journal.Run(t.Context()) }()
	r.put("acc", pipeline.OriginLive, time.Now(), 1)
	next(2)
	r.Journal.Close()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	e := stacktest.Event("acc", pipeline.OriginLive, time.Now(), 2)
	entry := treatItem(t, &e).Entry
	entry.Time = time.Now()
	if _, err := r.Log.Append(t.Context(), []journal.Entry{entry}); err != nil { // somebody else
		t.Fatal(err)
	}
	next(3)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The journal is inspected, and not made.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	log, err := filelog.Open(t.Context(), logOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	state, err := statefile.Open(t.Context(), statefile.Options{Dir: filepath.Join(dir, "state"), Log: stacktest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Attach(t.Context(), journal.Config{Log: log, State: state}); !errors.Is(err, journal.ErrNoJournal) {
		t.Errorf("%v", err)
	}
	for range state.Damaged() {
		t.Error("the state is damaged")
	}
	if err := errors.Join(log.Close(), state.Close()); err != nil {
		t.Fatal(err)
	}

	r := newRig(t, dir)
	if o, err := query.Inspect(t.Context(), r.Journal); err != nil || o.Messages != 0 || o.Newest.ID != "" {
		t.Errorf("%+v, %v", o, err)
	}
	var last pipeline.Event
	for n, account := range []string{"one", "one", "one", "two"} {
		last, _ = r.put(account, pipeline.OriginLive, time.Now(), n)
	}
	attached, err := journal.Attach(t.Context(), journal.Config{Log: r.Log, State: r.State})
	if err != nil {
		t.Fatal(err)
	}
	o, err := query.Inspect(t.Context(), attached)
	if err != nil || o.Messages != 4 || o.Newest.Account != "two" || o.Newest.ID != last.ID || o.Recorded.IsZero() || o.Bytes == 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if n, err := attached.LastNumber(t.Context()); err != nil || n != 4 {
		t.Errorf("last number %d, %v", n, err)
	}
}
