package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// A moody sink answers each event as its script says, one answer an attempt, and accepts what has none left.
type moody struct {
	mu     sync.Mutex
	script map[string][]error // by the event's title
	got    map[string][]string
	times  map[string]int // accepted
}

func (m *moody) Deliver(_ context.Context, records []pipeline.Record) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, r := range records {
		e, err := r.Event()
		if err != nil {
			return i, err
		}
		title := *e.Data.Title
		if left := m.script[title]; len(left) > 0 {
			if i == 0 && !pipeline.IsPermanent(left[0]) { // what comes beside an acceptance does not count, and a wrong event stays wrong
				m.script[title] = left[1:]
			}
			return i, left[0]
		}
		m.got[r.Account] = append(m.got[r.Account], title)
		m.times[title]++
	}
	return len(records), nil
}

func (m *moody) Close() error { return nil }

// Whatever a sink answers, and however often the lane is drained, cut off, disabled and enabled or relay is started
// again meanwhile: each event is accepted once or becomes one dead letter, with strict order in order.
func TestEveryEventOnce(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { everyEventOnce(t, seed) })
	}
}

func everyEventOnce(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 0)) // can be repeated
	dir := t.TempDir()
	r := newRig(t, dir)
	refused := errors.New("status 500")
	answers := []error{
		refused, refused, pipeline.Unavailable(errors.New("refused")), pipeline.Unanswered(errors.New("timeout")),
		pipeline.RetryAfter(5*time.Millisecond, refused), pipeline.RetryAfter(5*time.Millisecond, pipeline.Unavailable(refused)), pipeline.Gone(errors.New("status 410")),
	}
	sink := &moody{script: make(map[string][]error), got: make(map[string][]string), times: make(map[string]int)}
	dead := make(map[string]bool)
	cfg := LaneConfig{Strict: seed%2 == 0, Concurrency: rnd.IntN(3)}
	_, stop := r.lane(sink, cfg)
	names := []string{"a", "b", "c", "d"}
	sent := make(map[string][]string)
	enable := func() {
		if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince = time.Time{} }); err != nil {
			t.Log(err) // while the server starts
		}
	}
	n := 0
	for step := range 60 {
		switch what := rnd.IntN(20); {
		case step == 30 && seed == 0:
			if err := stop(true); err != nil {
				t.Fatal(err)
			}
			r.stop()
			r = newRig(t, dir)
			_, stop = r.lane(sink, cfg)
		case what == 0:
			if err := stop(rnd.IntN(2) == 0); err != nil {
				t.Fatal(err)
			}
			_, stop = r.lane(sink, cfg)
		case what == 1:
			if _, err := r.journal.UpdateSink(t.Context(), "box", func(s *journal.SinkState) { s.DisabledSince, s.Reason = time.Now(), "by hand" }); err != nil {
				t.Log(err)
			}
		case what == 2:
			enable()
		default:
			account := names[rnd.IntN(len(names))]
			for range 1 + rnd.IntN(4) {
				title := fmt.Sprintf("t%06d", n)
				var script []error
				if rnd.IntN(4) == 0 {
					for range rnd.IntN(9) {
						script = append(script, answers[rnd.IntN(len(answers))])
					}
					if rnd.IntN(4) == 0 {
						script, dead[title] = append(script, pipeline.Permanent(errors.New("status 400"))), true
					}
				}
				sink.mu.Lock()
				sink.script[title] = script
				sink.mu.Unlock()
				r.send(account, n, n+1)
				sent[account] = append(sent[account], title)
				n++
			}
		}
	}
	for _, account := range names { // by which it shows which events were wrong in themselves
		title := fmt.Sprintf("t%06d", n)
		r.send(account, n, n+1)
		sent[account] = append(sent[account], title)
		n++
	}
	done := func() (all int) {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		for _, k := range sink.times {
			all += k
		}
		return all
	}
	letters := func() (int, error) {
		all, err := r.letters()
		return len(all), err
	}
	r.eventually(func() error {
		enable()
		d, err := letters()
		if err != nil {
			return err
		}
		if got := done(); got+d < n {
			return fmt.Errorf("%d events accepted and %d dead of %d; %s", got, d, n, r.lanes())
		}
		return nil
	})
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	// Nothing is left that would come again.
	var rest box
	_, stop = r.lane(&rest, cfg)
	for _, account := range names {
		r.send(account, n, n+1)
		n++
	}
	r.eventually(func() error {
		enable()
		if rest.count() < len(names) {
			return errors.New("not all delivered")
		}
		return nil
	})
	if err := stop(true); err != nil {
		t.Fatal(err)
	}
	if got := rest.count(); got != len(names) {
		t.Errorf("%d events came again", got-len(names))
	}
	for _, account := range names {
		var want []string
		for _, title := range sent[account] {
			if !dead[title] {
				want = append(want, title)
			}
			if k := sink.times[title]; k > 1 || (k == 1) == dead[title] {
				t.Errorf("event %s of %s was accepted %d times; refused for good: %v", title, account, k, dead[title])
			}
		}
		if cfg.Strict && !slices.Equal(sink.got[account], want) {
			t.Errorf("account %s has %v, want %v", account, sink.got[account], want)
		}
	}
	if d, err := letters(); err != nil || d != len(dead) {
		t.Errorf("%d dead letters, want %d (%v)", d, len(dead), err)
	}
}
