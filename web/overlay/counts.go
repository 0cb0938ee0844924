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
	recent     treats // in the ticker
	pending    treats // that get there when the widgets are released
	shown      Totals // what pages show
	changed    bool   // since pages were told
	told       time.Time
}

// roll begins a new day or month, and returns when the next one begins. If the clock was set back to another day, everything is
// counted again.
func (c *counts) roll(now time.Time) (next time.Time) {
	y, m, d := now.Date()
	if now.Before(c.day) {
		c.restart()
	}
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

// restart makes the follower count again from the beginning.
func (c *counts) restart() {
	c.Totals, c.shown, c.recent, c.pending, c.readTo, c.changed = Totals{}, Totals{}, nil, nil, 0, true
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
	switch held := s.saved.Held; {
	case held != nil && e.Seq > *held:
		s.remember(e)
	case held != nil: // after a restart
		c.shown = c.Totals
		if !s.removed(e.Seq) {
			c.recent.add(e)
		}
	case s.due(e):
		s.remember(e)
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
		if s.saved.Held == nil {
			c.shown = c.Totals
		}
		s.broadcast(s.totalsMessage(), s.recentMessage())
	}
	return next
}

// ResetCounter makes the counter of this stream begin at zero.
func (s *Stage) ResetCounter(ctx context.Context) error {
	return s.control(ctx, "reset the counter of", func() {
		s.saved.CountersSince = s.now()
		s.counts.Stream, s.counts.shown.Stream, s.counts.changed = 0, 0, true
	})
}
