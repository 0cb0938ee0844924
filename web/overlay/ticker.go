package overlay

import (
	"cmp"
	"slices"

	"github.com/treatrelay/relay/pipeline"
)

// maxRemoved is how many removals from the ticker are remembered one by one.
const maxRemoved = 100

// treats are the newest treats, by number, ascending.
type treats []Event

// add adds a treat, and reports whether it is one of the newest and was not there.
func (t *treats) add(e Event) bool {
	at, found := slices.BinarySearchFunc(*t, e.Seq, func(r Event, number uint64) int { return cmp.Compare(r.Seq, number) })
	if found || at == 0 && len(*t) >= recentTreats {
		return false
	}
	*t = slices.Insert(*t, at, e)
	if extra := len(*t) - recentTreats; extra > 0 {
		*t = slices.Delete(*t, 0, extra)
	}
	return true
}

// span is a range of numbers in the journal, both inclusive.
type span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// remember adds a treat to the ticker. While the widgets are held, it waits for their release.
func (s *Stage) remember(e Event) {
	switch c := &s.counts; {
	case e.Origin == pipeline.OriginTest || s.removed(e.Seq):
	case s.saved.Held != nil:
		c.pending.add(e)
	case c.recent.add(e):
		c.changed = true
	}
}

// removed reports whether somebody has removed a treat from the ticker.
func (s *Stage) removed(number uint64) bool {
	return number <= s.saved.Cleared ||
		slices.ContainsFunc(s.saved.Removed, func(r span) bool { return r.First <= number && number <= r.Last })
}

// remove removes treats from the ticker for good. Beyond [maxRemoved], all older treats go with the oldest ones removed.
func (s *Stage) remove(r span) {
	if r.Last == 0 {
		return // a test of the overlay
	}
	all := append(slices.Clone(s.saved.Removed), r)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.Last, b.Last) })
	if len(all) > maxRemoved {
		s.saved.Cleared = max(s.saved.Cleared, all[0].Last)
	}
	s.saved.Removed = slices.DeleteFunc(all, func(r span) bool { return r.Last <= s.saved.Cleared })
	s.version++
	s.clean()
}

// removeUpTo removes every treat up to a number from the ticker for good.
func (s *Stage) removeUpTo(number uint64) {
	s.saved.Cleared = max(s.saved.Cleared, number)
	s.remove(span{number, number})
}

// clean applies removals to the ticker, and tells the pages.
func (s *Stage) clean() {
	c := &s.counts
	for _, list := range []*treats{&c.recent, &c.pending} {
		*list = slices.DeleteFunc(*list, func(e Event) bool { return s.removed(e.Seq) })
	}
	s.broadcast(s.recentMessage())
}

// hold keeps the widgets as they are while the overlay is paused or stopped, and releases them afterwards.
func (s *Stage) hold() {
	c := &s.counts
	switch held := s.saved.Paused || s.stopped; {
	case held && s.saved.Held == nil:
		at := c.readTo
		if p := s.saved.Position; p != nil && (at == 0 || s.showsAlerts()) {
			at = *p
		}
		s.saved.Held = &at
		s.version++
	case !held && s.saved.Held != nil:
		s.saved.Held = nil
		s.version++
		pending := c.pending
		c.pending, c.changed = nil, true
		for _, e := range pending {
			if s.due(e) {
				s.remember(e)
			}
		}
	}
}

// due reports whether a treat may be in the ticker. While alerts are shown, it appears there together with its alert.
func (s *Stage) due(e Event) bool { return e.Seq <= s.position() || !s.showsAlerts() }

// forgetBeyond forgets what is known of numbers that the journal does not have yet, as after a restore of an older one.
func (s *Stage) forgetBeyond(last uint64) {
	s.saved.Cleared = min(s.saved.Cleared, last)
	if h := s.saved.Held; h != nil && *h > last {
		s.saved.Held = &last
	}
	s.saved.Removed = slices.DeleteFunc(slices.Clone(s.saved.Removed), func(r span) bool { return r.First > last })
	for i := range s.saved.Removed {
		s.saved.Removed[i].Last = min(s.saved.Removed[i].Last, last)
	}
}
