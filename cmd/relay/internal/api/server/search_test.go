package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/internal/stacktest"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// putText journals a treat with these texts; an empty one is left out.
func (r *rig) putText(n int, sender, title, message string) {
	r.Helper()
	e := stacktest.Event("a", pipeline.OriginLive, evening.Add(time.Duration(n)*time.Second), n)
	for text, field := range map[string]**string{sender: &e.Data.Sender, title: &e.Data.Title, message: &e.Data.Message} {
		*field = nil
		if text != "" {
			*field = &text
		}
	}
	_, err := r.journal.Put(r.Context(), stacktest.Entry(r.T, &e))
	r.must(err)
}

// The text is found in each of the three, in upper and lower case, and however its letters are composed.
func TestHistoryByText(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		r.putText(1, "Zo\u00eb", "Pizza", "enjoy")
		r.putText(2, "ZOE\u0308", "Tea", "")
		r.putText(3, "", "STRASSE", "Größe 100% & <b>")
		r.putText(4, "bob", "tea", "pizza!")
		r.putText(5, "\u0130zmir", "", "")
		for text, want := range map[string][]uint64{
			"": {1, 2, 3, 4, 5}, "pizza": {1, 4}, "ZO\u00cb": {1, 2}, "zoe\u0308": {1, 2}, "straße": {3}, "% & <B>": {3}, "TEA": {2, 4}, "live": nil, "zoe": nil, "izmir": {5}, "\u0130ZM\u0130R": {5},
		} {
			var got []uint64
			for e, err := range r.client.History(r.Context(), &api.EventQuery{EventFilter: query.EventFilter{Text: text}}) {
				r.must(err)
				got = append(got, e.Number)
			}
			if !slices.Equal(got, want) {
				r.Errorf("%q is in %v, want %v", text, got, want)
			}
		}
	})
}

// The newest events come in the order of the journal, and last pages back through all of them.
func TestNewestHistory(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		newest := func(n int, last uint64, accounts ...string) []string {
			return r.history(api.EventQuery{EventFilter: query.EventFilter{Last: last, Accounts: accounts}, Newest: n})
		}
		if got := newest(3, 0); len(got) > 0 {
			r.Errorf("an empty journal has %v", got)
		}
		r.put("rare", 0, 5)
		r.put("a", 5, 3000)
		r.put("rare", 3000, 3001)
		r.put("a", 3001, 5000)
		if got := newest(3, 0); !slices.Equal(got, stacktest.Titles(4997, 5000)) {
			r.Errorf("newest 3: %v", got)
		}
		if got := newest(100000, 0); !slices.Equal(got, stacktest.Titles(0, 5000)) {
			r.Errorf("%d events", len(got))
		}
		if got := newest(3, 0, "rare"); !slices.Equal(got, append(stacktest.Titles(3, 5), stacktest.Titles(3000, 3001)...)) {
			r.Errorf("of an account: %v", got)
		}
		var back []string
		for last := uint64(5000); last > 0; {
			page := newest(700, last)
			back = append(slices.Clone(page), back...)
			last -= uint64(len(page))
		}
		if !slices.Equal(back, stacktest.Titles(0, 5000)) {
			r.Errorf("%d events, page by page", len(back))
		}
		for _, err := range r.client.History(r.Context(), &api.EventQuery{Newest: 3, Limit: 3}) {
			if !api.Is(err, api.ProblemUsage) {
				r.Errorf("newest and limit: %v", err)
			}
		}
	})
}

// History and stream have the events of the types and origins that were asked for.
func TestEventsByTypeAndOrigin(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		for n, origin := range []pipeline.Origin{pipeline.OriginLive, pipeline.OriginBackfill, pipeline.OriginTest} {
			e := stacktest.Event("a", origin, evening, n)
			_, err := r.journal.Put(r.Context(), stacktest.Entry(r.T, &e))
			r.must(err)
		}
		for _, tt := range []struct {
			types   []string
			origins []pipeline.Origin
			want    []string
		}{
			{nil, nil, stacktest.Titles(0, 3)},
			{nil, []pipeline.Origin{pipeline.OriginLive, pipeline.OriginTest}, []string{"t000000", "t000002"}},
			{[]string{pipeline.EventType}, []pipeline.Origin{pipeline.OriginBackfill}, stacktest.Titles(1, 2)},
			{[]string{pipeline.DigestType}, nil, nil},
		} {
			history := r.history(api.EventQuery{EventFilter: query.EventFilter{Types: tt.types, Origins: tt.origins}})
			if !slices.Equal(history, tt.want) {
				r.Errorf("history of %v %v: %v", tt.types, tt.origins, history)
			}
			q := api.FollowQuery{FollowConfig: query.FollowConfig{Types: tt.types, Origins: tt.origins}, Resume: true}
			if got := r.follow(&q, len(tt.want)); !slices.Equal(got, tt.want) {
				r.Errorf("stream of %v %v: %v", tt.types, tt.origins, got)
			}
		}
		q := api.FollowQuery{FollowConfig: query.FollowConfig{Origins: []pipeline.Origin{"alive"}}}
		if err := r.client.Follow(r.Context(), &q, func(uint64) {}, nil); !api.Is(err, api.ProblemUsage) || !strings.Contains(err.Error(), "alive") {
			r.Errorf("error %v", err)
		}
	})
}

// follow returns the titles of a stream: those of n events, and whatever else it has by then.
func (r *rig) follow(q *api.FollowQuery, n int) (titles []string) {
	r.Helper()
	ctx, stop := context.WithTimeoutCause(r.Context(), time.Minute, fmt.Errorf("fewer than %d events", n))
	defer stop()
	var following sync.WaitGroup
	following.Go(func() {
		err := r.client.Follow(ctx, q, func(uint64) {
			if n == 0 {
				stop()
			}
		}, func(e *api.Event) error {
			if titles = append(titles, title(r.T, e)); len(titles) == n {
				stop()
			}
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			r.Error(err)
		}
	})
	following.Wait()
	return titles
}
