package server_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/attempts"
)

func (r *rig) attempts(q api.AttemptQuery) (all []api.DeliveryAttempt) {
	r.Helper()
	for a, err := range r.client.Attempts(r.Context(), &q) {
		r.must(err)
		all = append(all, a)
	}
	return all
}

// Attempts are found by each filter, in the order in which they were made, however many entries of their log they take.
func TestAttempts(t *testing.T) {
	eachWay(t, false, func(r *rig) {
		if got := r.attempts(api.AttemptQuery{Newest: 5}); len(got) > 0 {
			r.Errorf("an empty log has %v", got)
		}
		log, err := attempts.Open(r.Context(), attempts.Config{Log: r.attemptLog, Logger: zerolog.Nop()})
		r.must(err)
		const n, parts = 900, 300
		for part := range parts { // each part is an entry of its own
			for i := part * n / parts; i < (part+1)*n/parts; i++ {
				a := pipeline.Attempt{
					Time: evening.Add(time.Duration(i) * time.Second), Sink: fmt.Sprint("sink", i%3), Account: fmt.Sprint("acc", i%2),
					Events: []string{fmt.Sprint("trt_", i), fmt.Sprint("trt_second", i)}, Endpoint: "https://bot.example",
					Latency: time.Duration(i) * time.Microsecond, Status: 200, Answer: "thanks",
				}
				if i%50 == 7 {
					a.Events = []string{fmt.Sprint(journal.DigestIDPrefix, i)}
				}
				if i%100 == 99 {
					a.Status, a.Error = 500, "status 500"
				}
				log.Add(a)
			}
			r.flush(log)
			if part < parts-1 {
				log, err = attempts.Open(r.Context(), attempts.Config{Log: r.attemptLog, Logger: zerolog.Nop()})
				r.must(err)
			}
		}
		all := r.attempts(api.AttemptQuery{})
		if len(all) != n || !slices.IsSortedFunc(all, func(a, b api.DeliveryAttempt) int { return int(a.Number) - int(b.Number) }) {
			r.Fatalf("%d attempts, want %d in order", len(all), n)
		}
		want := api.DeliveryAttempt{
			Number: all[99].Number, Time: evening.Add(99 * time.Second), Sink: "sink0", ID: "trt_99", Batch: 2, Account: "acc1", Endpoint: "https://bot.example",
			Outcome: api.OutcomeFailed, Status: 500, Reason: "status 500", Answer: "thanks", Latency: 0.099,
		}
		if all[99] != want {
			r.Errorf("%+v\nwant %+v", all[99], want)
		}
		filter := func(take func(i int) bool) (want []uint64) {
			for i := range all {
				if take(i) {
					want = append(want, all[i].Number)
				}
			}
			return want
		}
		for name, tt := range map[string]struct {
			filter journal.AttemptFilter
			want   []uint64
		}{
			"all":      {journal.AttemptFilter{}, filter(func(int) bool { return true })},
			"sink":     {journal.AttemptFilter{Sinks: []string{"sink1", "none"}}, filter(func(i int) bool { return i%3 == 1 })},
			"account":  {journal.AttemptFilter{Accounts: []string{"acc1"}}, filter(func(i int) bool { return i%2 == 1 })},
			"failed":   {journal.AttemptFilter{Outcome: journal.Failed}, filter(func(i int) bool { return i%100 == 99 })},
			"accepted": {journal.AttemptFilter{Outcome: journal.Accepted}, filter(func(i int) bool { return i%100 != 99 })},
			"digests":  {journal.AttemptFilter{Digests: true}, filter(func(i int) bool { return i%50 == 7 })},
			"time": {
				journal.AttemptFilter{Since: evening.Add(100 * time.Second), Until: evening.Add(700 * time.Second)},
				filter(func(i int) bool { return i >= 100 && i < 700 }),
			},
			"id": {journal.AttemptFilter{IDs: []string{"trt_second50"}}, filter(func(i int) bool { return i == 50 })},
			"several": {
				journal.AttemptFilter{Outcome: journal.Failed, Accounts: []string{"acc1"}, Sinks: []string{"sink0"}},
				filter(func(i int) bool { return i%100 == 99 && i%3 == 0 }),
			},
		} {
			for _, newest := range []int{0, 1, 2, 7, 250, 5000} {
				got := r.attempts(api.AttemptQuery{AttemptFilter: tt.filter, Newest: newest})
				want := tt.want
				if newest > 0 {
					want = want[max(0, len(want)-newest):]
				}
				if len(got) != len(want) || len(got) > 0 && (got[0].Number != want[0] || got[len(got)-1].Number != want[len(want)-1]) {
					r.Errorf("%s, newest %d: %d attempts, want %d", name, newest, len(got), len(want))
				}
				if name == "id" && got[0].ID != "trt_second50" {
					r.Errorf("the attempt is said to be of %s", got[0].ID)
				}
			}
		}
		for _, err := range r.client.Attempts(r.Context(), &api.AttemptQuery{AttemptFilter: journal.AttemptFilter{Outcome: 9}}) {
			r.must(err) // an outcome without a name is left out
			break
		}
	})
}

// flush writes what a log of attempts holds, and ends it.
func (r *rig) flush(log *attempts.Log) {
	var running sync.WaitGroup
	running.Go(func() { log.Run(context.WithoutCancel(r.Context())) })
	log.Close()
	running.Wait()
}
