package server_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// A rig is a journal, and a client of the API over it.
type rig struct {
	*testing.T
	journal    *journal.Journal
	attemptLog journal.Log
	client     *api.Client
	url        string // of the server; empty: there is none
}

// eachWay runs a test over a connection, and within this process.
func eachWay(t *testing.T, running bool, test func(*rig)) {
	for _, way := range []string{"connection", "direct"} {
		t.Run(way, func(t *testing.T) {
			stack, err := stacktest.Open(t.Context(), stacktest.Options{Dir: t.TempDir(), Attempts: true, Logger: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			stack.Run(t)
			r := &rig{T: t, journal: stack.Journal, attemptLog: stack.Attempts}
			cfg := server.Config{
				Journal: func(context.Context) (*journal.Journal, error) { return stack.Journal, nil },
				Sinks:   func() ([]string, map[string]string) { return []string{"bot"}, map[string]string{"bot": "webhook"} },
			}
			if running {
				cfg.Status = func(context.Context) api.Status { return api.Status{Version: "v1"} }
				cfg.Reconcile = func(_ context.Context, account string) (intake.Reconciliation, error) {
					return intake.Reconciliation{Account: account, Held: 3}, nil
				}
			}
			handler := server.New(cfg)
			if way == "direct" {
				direct := api.NewDirect(handler)
				t.Cleanup(func() { _ = direct.Close() })
				r.client = api.New(direct, "data")
				test(r)
				return
			}
			hs := httptest.NewServer(handler)
			t.Cleanup(hs.Close)
			r.url = hs.URL
			through := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", hs.Listener.Addr().String())
			}}
			t.Cleanup(through.CloseIdleConnections)
			r.client = api.New(through, "data")
			test(r)
		})
	}
}

var evening = time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)

// put journals the events from..to-1 of an account.
func (r *rig) put(account string, from, to int) {
	r.Helper()
	var entries []journal.Entry
	for n := from; n < to; n++ {
		e := stacktest.Event(account, pipeline.OriginLive, evening.Add(time.Duration(n)*time.Second), n)
		entries = append(entries, stacktest.Entry(r.T, &e))
	}
	for part := range slices.Chunk(entries, journal.MaxBatch) {
		_, err := r.journal.Put(r.Context(), part...)
		r.must(err)
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func title(t *testing.T, e *api.Event) string {
	t.Helper()
	event, err := e.Record().Event()
	if err != nil {
		t.Fatal(err)
	}
	return *event.Data.Title
}

func (r *rig) history(q api.EventQuery) (titles []string) {
	r.Helper()
	for e, err := range r.client.History(r.Context(), &q) {
		r.must(err)
		titles = append(titles, title(r.T, &e))
	}
	return titles
}

func TestHistory(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		if got := r.history(api.EventQuery{}); len(got) != 0 {
			r.Errorf("an empty journal has %v", got)
		}
		r.put("a", 0, 500)
		r.put("b", 500, 510)
		if got := r.history(api.EventQuery{}); !slices.Equal(got, stacktest.Titles(0, 510)) {
			r.Errorf("%d events", len(got))
		}
		q := api.EventQuery{EventFilter: query.EventFilter{Accounts: []string{"b"}, Since: evening.Add(502 * time.Second), Until: evening.Add(508 * time.Second)}, Limit: 5}
		if got := r.history(q); !slices.Equal(got, stacktest.Titles(502, 507)) {
			r.Errorf("%v", got)
		}
		for e, err := range r.client.History(r.Context(), &api.EventQuery{}) { // who asks leaves
			r.must(err)
			if e.Number != 1 || e.Account != "a" || e.Origin != pipeline.OriginLive || !e.Time.Equal(evening) || e.Journaled.IsZero() {
				r.Errorf("%+v", e)
			}
			break
		}
	})
}

// The bytes of an event are the journal's, whatever is in them.
func TestEventIsAsItIs(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		e := stacktest.Event("a", pipeline.OriginLive, evening, 0)
		text := "<b>&amp; \u2028 \U0001f355 \"quoted\" \\ \x01"
		e.Data.Message = &text
		entry := stacktest.Entry(r.T, &e)
		_, err := r.journal.Put(r.Context(), entry)
		r.must(err)
		for got, err := range r.client.History(r.Context(), &api.EventQuery{}) {
			r.must(err)
			if string(got.Event) != string(entry.Data) {
				r.Errorf("%s\nwant %s", got.Event, entry.Data)
			}
		}
	})
}

// A stream has each event once, from where it is told to begin.
func TestFollow(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		r.put("a", 0, 10)
		follow := func(q api.FollowQuery, want int, meanwhile func()) (titles []string, last uint64) {
			ctx, stop := context.WithCancel(r.Context())
			defer stop()
			var began, ended sync.WaitGroup
			began.Add(1)
			at := sync.OnceFunc(began.Done)
			ended.Go(func() {
				defer at()
				err := r.client.Follow(ctx, &q, func(n uint64) { last = n; at() }, func(e *api.Event) error {
					titles, last = append(titles, title(r.T, e)), e.Number
					if len(titles) == want {
						stop()
					}
					return nil
				})
				if err != nil && !errors.Is(err, context.Canceled) {
					r.Error(err)
				}
			})
			began.Wait()
			meanwhile()
			ended.Wait()
			return titles, last
		}
		nothing := func() {}
		titles, last := follow(api.FollowQuery{}, 5, func() { r.put("a", 10, 15) })
		if !slices.Equal(titles, stacktest.Titles(10, 15)) || last != 15 {
			r.Errorf("from now on: %v, %d", titles, last)
		}
		resumed := api.FollowQuery{FollowConfig: query.FollowConfig{After: 12}, Resume: true}
		if titles, _ := follow(resumed, 3, nothing); !slices.Equal(titles, stacktest.Titles(12, 15)) {
			r.Errorf("resumed: %v", titles)
		}
		whole := api.FollowQuery{FollowConfig: query.FollowConfig{Since: time.Now().Add(-time.Hour)}}
		if titles, _ := follow(whole, 15, nothing); !slices.Equal(titles, stacktest.Titles(0, 15)) {
			r.Errorf("since an hour ago: %v", titles)
		}
		beyond := api.FollowQuery{FollowConfig: query.FollowConfig{After: 1000}, Resume: true}
		if titles, _ := follow(beyond, 2, func() { r.put("a", 15, 17) }); !slices.Equal(titles, stacktest.Titles(15, 17)) {
			r.Errorf("beyond the newest event: %v", titles)
		}
	})
}

func TestSinks(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		all, err := r.client.Sinks(r.Context())
		r.must(err)
		if len(all) != 1 || all[0].Sink != "bot" || all[0].Type != "webhook" || all[0].State != api.StateNew {
			r.Errorf("%+v", all)
		}
		change, err := r.client.DisableSink(r.Context(), "bot", "moving")
		r.must(err)
		if again, err := r.client.DisableSink(r.Context(), "bot", "again"); err != nil || !change.Changed || again.Changed || !again.DisabledSince.Equal(change.DisabledSince) {
			r.Errorf("%+v, then %+v, %v", change, again, err)
		}
		if all, err = r.client.Sinks(r.Context()); err != nil || all[0].State != api.StateDisabled || all[0].Reason != "moving" {
			r.Errorf("%+v, %v", all, err)
		}
		if change, err = r.client.EnableSink(r.Context(), "bot"); err != nil || !change.Changed {
			r.Errorf("%+v, %v", change, err)
		}
		if change, err = r.client.EnableSink(r.Context(), "bot"); err != nil || change.Changed {
			r.Errorf("%+v, %v", change, err)
		}
		if _, err := r.client.EnableSink(r.Context(), "none"); !api.Is(err, api.ProblemUnknownSink) || !strings.Contains(err.Error(), "bot") {
			r.Errorf("error %v", err)
		}
	})
}

func (r *rig) refuse(n int) {
	r.Helper()
	for e, err := range query.Events(r.Context(), r.journal, query.EventFilter{}) {
		r.must(err)
		if n--; n < 0 {
			return
		}
		r.must(r.journal.KeepDeadLetter(r.Context(), "bot", "status 404", 1, e.Record))
	}
}

func (r *rig) letters(q api.LetterQuery) (all []journal.DeadLetter) {
	r.Helper()
	for d, err := range r.client.DeadLetters(r.Context(), &q) {
		r.must(err)
		all = append(all, d)
	}
	return all
}

func TestDeadLetters(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		r.put("a", 0, 6)
		r.refuse(6)
		all := r.letters(api.LetterQuery{})
		if len(all) != 6 {
			r.Fatalf("%+v", all)
		}
		one, err := r.client.DeadLetter(r.Context(), all[2].Number)
		r.must(err)
		if one.ID != all[2].ID || !strings.Contains(string(one.Event), "t000002") {
			r.Errorf("%+v", one)
		}
		if _, err := r.client.DeadLetter(r.Context(), 9999); !api.Is(err, api.ProblemNoLetter) {
			r.Errorf("error %v", err)
		}
		q := api.LetterQuery{DeadLetterFilter: journal.DeadLetterFilter{Numbers: []uint64{all[0].Number, all[1].Number}}}
		done := 0
		for result, err := range r.client.Redrive(r.Context(), &q) {
			r.must(err)
			if done++; result.Kept != nil {
				r.Errorf("%+v", result)
			}
		}
		if left := r.letters(api.LetterQuery{}); done != 2 || len(left) != 4 {
			r.Errorf("%d redriven, %d left", done, len(left))
		}
		for e, err := range query.Events(r.Context(), r.journal, query.EventFilter{}) {
			r.must(err)
			r.must(r.journal.KeepDeadLetter(r.Context(), "removed", "status 404", 1, e.Record))
			break
		}
		q = api.LetterQuery{DeadLetterFilter: journal.DeadLetterFilter{Sinks: []string{"removed"}}}
		for result, err := range r.client.Redrive(r.Context(), &q) {
			r.must(err)
			if result.Kept == nil || !result.Kept.Named(api.ProblemUnknownSink) || !strings.Contains(result.Kept.Fix, "relay deadletters purge --id") {
				r.Errorf("a dead letter of a sink that is not configured: %+v", result.Kept)
			}
		}
		for _, err := range r.client.Purge(r.Context(), &q) {
			r.must(err)
		}
		if left := r.letters(api.LetterQuery{}); len(left) != 4 {
			r.Errorf("%d left", len(left))
		}
		for _, err := range r.client.Purge(r.Context(), &api.LetterQuery{}) {
			if !api.Is(err, api.ProblemUsage) {
				r.Errorf("all are purged, and nobody has said so: %v", err)
			}
		}
		for _, err := range r.client.Purge(r.Context(), &api.LetterQuery{All: true, Limit: 3}) {
			r.must(err)
		}
		if left := r.letters(api.LetterQuery{}); len(left) != 1 {
			r.Errorf("%d left", len(left))
		}
	})
}

func TestTraceAndTests(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		norm := intake.Normalizer{Account: "a", Provider: "treatstream", Location: time.UTC}
		e := norm.TestEvent(time.Now(), "relay", "Tea", "a test")
		line, err := e.Line()
		r.must(err)
		r.must(r.client.PutTest(r.Context(), &api.TestRequest{Event: line}))
		trace, err := r.client.Trace(r.Context(), e.ID)
		r.must(err)
		if len(trace.Steps) != 2 || trace.Steps[1].Step != api.StepJournaled || string(trace.Steps[1].Event) != string(line) {
			r.Errorf("%+v", trace)
		}
		if _, err := r.client.Trace(r.Context(), "trt_none"); !api.Is(err, api.ProblemUnknownEvent) {
			r.Errorf("error %v", err)
		}
		forged := stacktest.Event("a", pipeline.OriginLive, evening, 0)
		line, err = forged.Line()
		r.must(err)
		if err := r.client.PutTest(r.Context(), &api.TestRequest{Event: line}); !api.Is(err, api.ProblemUsage) {
			r.Errorf("a treat is journaled as a test: %v", err)
		}
	})
}

func TestReplay(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		const n = 2500
		r.put("a", 0, n)
		order := api.ReplayRequest{Sink: "bot", Run: "0123456789abcdef", EventSelection: api.EventSelection{Last: n, Since: evening}}
		sent := 0
		for more := true; more; {
			part, err := r.client.Replay(r.Context(), &order)
			r.must(err)
			if part.Sent > 0 {
				order.After = part.Done
			}
			sent, more = sent+part.Sent, part.More
		}
		replayed := r.history(api.EventQuery{EventFilter: query.EventFilter{Origins: []pipeline.Origin{pipeline.OriginReplay}}})
		if sent != n || len(replayed) != n {
			r.Errorf("%d sent, %d replayed", sent, len(replayed))
		}
	})
}
