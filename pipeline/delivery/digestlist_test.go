package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/delivery/digests"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/journal"
)

// The digests that are listed are those that the sinks get, with the same count and the treats that make it, and the state of each.
func TestDigestsAreListed(t *testing.T) {
	r, begin := newRig(t, t.TempDir()), evening()
	filter, err := rules.NewFilter(`data.title != "Rice"`)
	check(t, err)
	answering := func(answer error) *box {
		return &box{rule: func(_ context.Context, record pipeline.Record) error {
			if record.Type == pipeline.DigestType {
				return answer
			}
			return nil
		}}
	}
	var all, picky box
	selections := map[string]rules.Selection{
		"all": {Backfill: rules.DigestBackfill}, "picky": {Backfill: rules.DigestBackfill, Filter: filter},
		"down": {Backfill: rules.DigestBackfill}, "refusing": {Backfill: rules.DigestBackfill},
		"each": {}, "other": {Backfill: rules.DigestBackfill, Accounts: []string{"someone-else"}},
	}
	for name, sink := range map[string]*box{
		"all": &all, "picky": &picky, "down": answering(errors.New("connection refused")), "refusing": answering(pipeline.Permanent(errors.New("400 Bad Request"))),
		"each": {}, "other": {},
	} {
		r.lane(sink, LaneConfig{Sink: name, Selection: selections[name]})
	}
	const back = pipeline.OriginBackfill
	events := []pipeline.Event{gift("acc", back, "Ann", "Pie", begin, 1), gift("acc", back, "Bob", "Rice", begin, 2), gift("acc", back, "Ann", "Tea", begin, 9)}
	numbers := r.journaled(events...)
	r.mark("acc", numbers[0], numbers[2])
	r.journaled(gift("acc", pipeline.OriginLive, "Dan", "Live", begin, 10))
	open := func() *digests.Reader {
		reader, err := digests.Open(t.Context(), r.journal, selections)
		check(t, err)
		return reader
	}
	list := func(f digests.Filter) (found []string) {
		listed, err := open().List(t.Context(), f)
		check(t, err)
		for _, d := range listed {
			found = append(found, fmt.Sprint(d.Sink, " ", d.Account, " ", d.Count, " ", d.State))
		}
		return found
	}
	wait := func(f digests.Filter, want ...string) {
		t.Helper()
		r.eventually(func() error {
			if got := list(f); !slices.Equal(got, want) {
				return fmt.Errorf("the digests are %q, want %q", got, want)
			}
			return nil
		})
	}
	wait(digests.Filter{}, "all acc 3 delivered", "down acc 3 waiting", "picky acc 2 delivered", "refusing acc 3 dead_letter")

	sent := r.digests(&picky, "acc", 1)[0]
	d, err := open().Find(t.Context(), sent.ID)
	check(t, err)
	if d.Sink != "picky" || d.Count != sent.Data.Count || !d.First.Equal(sent.Data.First) || !d.Last.Equal(sent.Data.Last) || !d.Time.Truncate(time.Millisecond).Equal(sent.Time) {
		t.Errorf("found %+v, sent %+v", d, sent)
	}
	var ids []string
	for treat, err := range open().Treats(t.Context(), sent.ID) {
		check(t, err)
		ids = append(ids, treat.ID)
	}
	if want := []string{events[0].ID, events[2].ID}; !slices.Equal(ids, want) {
		t.Errorf("its treats are %q, want %q", ids, want)
	}

	r.healed("second", 2)
	wait(digests.Filter{Sinks: []string{"all"}}, "all acc 3 delivered", "all second 2 delivered")
	wait(digests.Filter{Sinks: []string{"all"}, Newest: 1}, "all second 2 delivered")
	wait(digests.Filter{Sinks: []string{"picky"}, Accounts: []string{"acc"}}, "picky acc 2 delivered")
	wait(digests.Filter{Sinks: []string{"all"}, Until: d.Time})
	wait(digests.Filter{Sinks: []string{"all"}, Since: d.Time.Add(time.Nanosecond)}, "all second 2 delivered")
	for _, id := range []string{"dig_", "hello", journal.DigestID(d.Time, "each", journal.BackfillBatch{Account: "acc"})} {
		if _, err := open().Find(t.Context(), id); !errors.Is(err, digests.ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
