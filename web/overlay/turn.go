package overlay

import (
	"slices"
	"time"
)

const (
	// startPatience is how long pages may take to start an alert before it is offered again.
	startPatience = 5 * time.Second
	// speechAllowance is how much longer than its time an alert may stay, while it is read aloud.
	speechAllowance = 30 * time.Second
	// leaveAllowance is the same without speech, for loading and animations.
	leaveAllowance = 10 * time.Second
	// returnPatience is how long a page with the alert on screen may be disconnected. Then it counts as gone.
	returnPatience = 5 * time.Second
	// busy is how many waiting treats make alerts as short as they get.
	busy = 5
)

// progress is how far a page is with an alert.
type progress int

const (
	offered progress = iota
	started
	finished
	known // the page has started it before, and refused to start it again
)

// turn is the alert that pages are offered or show.
type turn struct {
	id      uint64 // rises, also over restarts
	alert   Alert
	events  []Event // what the alert stands for; nil if it is urgent, or shown
	treats  span    // the numbers of these
	urgent  *urgent
	offered time.Time
	started time.Time // zero: no page has started it
	length  time.Duration
	limit   time.Duration // that it lasts at most, from its start
	pages   map[string]progress
	known   []string             // ids of its treats that pages have shown before
	away    map[string]time.Time // disconnected pages that have started it, and when they count as gone
}

// any reports whether a page is that far.
func (t *turn) any(p progress) bool {
	for _, at := range t.pages {
		if at == p {
			return true
		}
	}
	return false
}

// end is when the turn ends by itself.
func (t *turn) end() time.Time {
	if t.started.IsZero() {
		return t.offered.Add(startPatience)
	}
	return t.started.Add(t.limit)
}

// leave notes that a page is disconnected. It may come back while it shows the alert.
func (t *turn) leave(page string, now time.Time) {
	if at, ok := t.pages[page]; ok && at == started {
		t.away[page] = now.Add(returnPatience)
		return
	}
	delete(t.pages, page)
}

// join notes that a page connects, and reports whether the alert goes on there. shows is the turn that the page shows.
func (t *turn) join(r *PageRequest) bool {
	delete(t.away, r.ID)
	if r.Turn != t.id || t.started.IsZero() {
		delete(t.pages, r.ID)
		return false
	}
	if !r.Preview {
		t.pages[r.ID] = started
	}
	return true
}

// dropGone removes the pages that did not come back in time, and returns when to look again; zero means never.
func (t *turn) dropGone(now time.Time) (next time.Time) {
	for id, until := range t.away {
		if now.Before(until) {
			next = earliest(next, until)
			continue
		}
		delete(t.away, id)
		delete(t.pages, id)
	}
	return next
}

// screenTime is how long an alert stays while that many others wait.
func (t Timing) screenTime(waiting int) time.Duration {
	return t.MaxTime - (t.MaxTime-t.MinTime)*time.Duration(min(waiting, busy))/busy
}

// advance does what is due, and returns when to call it again. The caller holds the mutex.
func (s *Stage) advance(now time.Time) (next time.Time) {
	var back time.Time
	if s.turn != nil {
		back = s.turn.dropGone(now)
		s.checkTurn(now)
	}
	next, old := s.queue.dropOld(now, s.settings.MaxAge)
	for _, e := range old {
		s.remember(e)
	}
	for s.turn == nil && s.offer(now) {
		continue
	}
	if s.turn != nil {
		next = earliest(earliest(next, s.turn.end()), back)
	}
	s.place()
	return earliest(next, s.tellCounts(now))
}

// checkTurn ends the turn if it is over.
func (s *Stage) checkTurn(now time.Time) {
	t := s.turn
	late := !now.Before(t.end())
	switch {
	case !t.started.IsZero():
		if late {
			s.hide()
		}
		if late || !t.any(started) {
			s.turn = nil
		}
	case t.any(offered) && !late:
	case t.any(known): // no page is left that could show it for the first time
		s.turn = nil
		s.settleKnown(t, now)
	default:
		for id, at := range t.pages {
			if p := s.pages[id]; p != nil && at == offered {
				p.stalled = true
			}
		}
		s.turn = nil
		s.requeue(t)
	}
}

// withdraw ends a turn that no page has started. Its alert comes again later.
func (s *Stage) withdraw() {
	if t := s.turn; t != nil && t.started.IsZero() {
		s.turn = nil
		s.requeue(t)
	}
}

// dropOthers takes alerts of accounts that the settings leave out off the screen, and out of those that somebody asked for. The
// treats that wait are read again.
func (s *Stage) dropOthers() {
	if t := s.turn; t != nil && (!s.settings.shows(t.alert.Account) || t.alert.More > 0) { // merged treats may be of any account
		s.turn = nil
		s.hide()
	}
	s.queue.urgent = slices.DeleteFunc(s.queue.urgent, func(u *urgent) bool {
		left := !s.settings.shows(u.alert.Account)
		if left {
			s.saved.Again = without(s.saved.Again, u.alert.Number)
			s.version++
		}
		return left
	})
}

// requeue puts the alert of a turn back to where it was.
func (s *Stage) requeue(t *turn) {
	if t.urgent != nil {
		s.queue.urgent = slices.Insert(s.queue.urgent, 0, t.urgent)
		return
	}
	s.queue.putBack(t.events)
}

// offer begins the turn of the next alert, if there is one and a page to show it. It reports whether to try again.
func (s *Stage) offer(now time.Time) (again bool) {
	if s.saved.Paused || s.stopped {
		return false
	}
	t := &turn{id: max(s.lastTurn+1, uint64(now.UnixMicro())), offered: now, pages: map[string]progress{}, away: map[string]time.Time{}}
	for i, u := range s.queue.urgent {
		if s.audience(t, u.test); len(t.pages) > 0 {
			s.queue.urgent = append(s.queue.urgent[:i:i], s.queue.urgent[i+1:]...)
			t.urgent, t.alert, t.treats = u, u.alert, u.treats()
			s.begin(t)
			return false
		}
	}
	if s.audience(t, false); len(t.pages) == 0 || len(s.queue.waiting) == 0 {
		return false
	}
	n := 1
	if limit := s.settings.MergeAfter; limit > 0 {
		n = max(1, len(s.queue.waiting)-limit)
	}
	t.events = s.queue.take(n)
	t.treats = span{t.events[0].Seq, t.events[n-1].Seq}
	var err error
	if t.alert, err = s.look.merge(t.events); err != nil {
		s.config.Log.Warn().Str("overlay", s.name).Err(err).Msg("an alert is skipped")
		s.queue.putBack(t.events[1:])
		return true
	}
	s.begin(t)
	return false
}

// audience adds the pages that can show an alert.
func (s *Stage) audience(t *turn, test bool) {
	for id, p := range s.pages {
		if s.shownOn(p, WidgetAlerts) && !p.stalled && (test || !p.request.Preview) {
			t.pages[id] = offered
		}
	}
}

// begin offers an alert to its pages. A preview gets it too, but has no say.
func (s *Stage) begin(t *turn) {
	s.turn, s.lastTurn = t, t.id
	t.length = s.settings.screenTime(len(s.queue.waiting) + len(s.queue.urgent))
	t.limit = t.length + leaveAllowance
	if s.speaks() {
		t.limit = t.length + speechAllowance
	}
	offer := show{Turn: t.id, Alert: t.alert, Duration: t.length.Milliseconds()}
	if t.alert.More > 0 {
		offer.IDs = ids(t.events)
	}
	m := newMessage(messageShow, offer)
	for id, p := range s.pages {
		if _, ok := t.pages[id]; ok || p.request.Preview && s.shownOn(p, WidgetAlerts) {
			s.send(p, m)
		}
	}
}

// speaks reports whether a page may read alerts aloud.
func (s *Stage) speaks() bool {
	for _, p := range s.pages {
		if p.request.Speech {
			return true
		}
	}
	return s.settings.Speech
}

func ids(events []Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}

// settleKnown settles the treats of a turn that pages have shown before. The others of a merged alert wait again.
func (s *Stage) settleKnown(t *turn, now time.Time) {
	var fresh []Event
	all := t.events
	t.events = nil
	for i, e := range all {
		// An alert that is refused without the ids of its treats is its first treat.
		if slices.Contains(t.known, e.ID) || i == 0 && !slices.ContainsFunc(all, func(e Event) bool { return slices.Contains(t.known, e.ID) }) {
			t.events = append(t.events, e)
		} else {
			fresh = append(fresh, e)
		}
	}
	s.queue.putBack(fresh)
	s.settle(t, now)
}

// settle makes the alert of a turn one that was shown, so that it does not come again.
func (s *Stage) settle(t *turn, now time.Time) {
	for _, e := range t.events {
		s.remember(e)
	}
	t.events = nil
	if u := t.urgent; u != nil && !u.test {
		s.saved.Again = without(s.saved.Again, u.alert.Number)
	}
	s.shown = &Shown{Alert: t.alert, Time: now}
	s.place()
	s.version++
}

// hide takes the alert off every page.
func (s *Stage) hide() {
	for _, p := range s.pages {
		s.send(p, newMessage(messageHide, struct{}{}))
	}
}

// position is the number up to which every treat was shown or passed over.
func (s *Stage) position() uint64 {
	switch {
	case s.turn != nil && len(s.turn.events) > 0:
		return s.turn.events[0].Seq - 1
	case len(s.queue.waiting) > 0:
		return s.queue.waiting[0].Seq - 1
	}
	return s.queue.readTo
}

// place updates the position to save.
func (s *Stage) place() {
	if at := s.position(); s.saved.Position != nil && *s.saved.Position != at {
		s.saved.Position = &at
		s.version++
	}
}
