package overlay

import (
	"context"
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

const (
	// recentTreats is how many treats the ticker has.
	recentTreats = 20
	// recentDays is how many days of the journal it reads at a start.
	recentDays = 7
	// countPace is how often pages get new totals at most.
	countPace = 250 * time.Millisecond
)

// Totals are the numbers of treats that the counter shows.
type Totals struct {
	Today  int  `json:"today"`
	Stream int  `json:"stream"` // since the last [Stage.ResetCounter]
	Month  int  `json:"month"`
	Goal   Goal `json:"goal"`
}

// counts are the totals, and the recent treats. The stage's mutex guards it.
type counts struct {
	Totals
	day, month time.Time // when they began
	reading    uint64    // as in queue
	stop       func(why error)
	readTo     uint64
	recent     []Event // by number, ascending
	changed    bool    // since pages were told
	told       time.Time
}

// roll begins a new day or month, and returns when the next one begins.
func (c *counts) roll(now time.Time) (next time.Time) {
	y, m, d := now.Date()
	if day := time.Date(y, m, d, 0, 0, 0, 0, now.Location()); !day.Equal(c.day) {
		c.day, c.Today, c.changed = day, 0, true
	}
	if month := time.Date(y, m, 1, 0, 0, 0, 0, now.Location()); !month.Equal(c.month) {
		c.month, c.Month, c.changed = month, 0, true
	}
	return time.Date(y, m, d+1, 0, 0, 0, 0, now.Location())
}

// add counts a treat.
func (c *counts) add(e Event, stream time.Time) {
	for _, p := range []struct {
		since time.Time
		count *int
	}{{c.day, &c.Today}, {c.month, &c.Month}, {stream, &c.Stream}} {
		if !e.Time.Before(p.since) {
			*p.count++
		}
	}
	c.changed = true
}

// remember adds a treat to the recent ones.
func (c *counts) remember(e Event) {
	at, found := slices.BinarySearchFunc(c.recent, e.Seq, func(r Event, number uint64) int {
		switch {
		case r.Seq < number:
			return -1
		case r.Seq > number:
			return 1
		}
		return 0
	})
	if found || at == 0 && len(c.recent) >= recentTreats {
		return
	}
	c.recent = slices.Insert(c.recent, at, e)
	if extra := len(c.recent) - recentTreats; extra > 0 {
		c.recent = slices.Delete(c.recent, 0, extra)
	}
	c.changed = true
}

// restart makes the follower count again from the beginning.
func (c *counts) restart() {
	c.Today, c.Stream, c.Month, c.recent, c.readTo, c.changed = 0, 0, 0, nil, 0, true
	c.reading++
	if c.stop != nil {
		c.stop(errRestart)
	}
}

// count follows the journal for the counter and the ticker until ctx ends.
func (s *Stage) count(ctx context.Context) {
	s.retry(ctx, "counter", func(ctx context.Context) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		now := s.now()
		s.mu.Lock()
		c := &s.counts
		c.stop = stop
		c.roll(now)
		reading := c.reading
		since := earliest(earliest(c.month, s.saved.CountersSince), now.AddDate(0, 0, -recentDays))
		r := FollowRequest{Accounts: slices.Clone(s.settings.Accounts), After: c.readTo, Since: since}
		s.mu.Unlock()
		return s.config.Feed.Follow(ctx, r, func(e Event) error {
			s.tally(reading, slim(e))
			return nil
		})
	})
}

// tally counts one treat.
func (s *Stage) tally(reading uint64, e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.counts
	if c.reading != reading || e.Seq <= c.readTo {
		return
	}
	c.readTo = e.Seq
	if e.Origin == pipeline.OriginTest {
		return
	}
	c.add(e, s.saved.CountersSince)
	// While alerts are shown, a treat appears in the ticker together with its alert.
	if e.Seq <= s.position() || !s.showsAlerts() {
		c.remember(e)
	}
	s.poke()
}

// tellCounts sends pages what has changed, and returns when to call it again; zero means when something changes.
func (s *Stage) tellCounts(now time.Time) (next time.Time) {
	c := &s.counts
	next = c.roll(now)
	switch again := c.told.Add(countPace); {
	case !c.changed:
	case now.Before(again):
		next = earliest(next, again)
	default:
		c.changed, c.told = false, now
		s.broadcast(s.totalsMessage(), s.recentMessage())
	}
	return next
}

// ResetCounter makes the counter of this stream begin at zero.
func (s *Stage) ResetCounter(ctx context.Context) error {
	return s.control(ctx, "reset the counter of", func() {
		s.saved.CountersSince = s.now()
		s.counts.Stream, s.counts.changed = 0, true
	})
}
