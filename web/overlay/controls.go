package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// State is what the dashboard and "relay overlay" show of an overlay.
type State struct {
	Name       string      `json:"name"`
	Pages      []PageState `json:"pages"`
	Showing    *Alert      `json:"showing"`    // on screen now
	LastShown  *Shown      `json:"last_shown"` // since relay started
	Waiting    int         `json:"waiting"`    // of which the stage has read
	More       bool        `json:"waiting_more,omitempty" jsonschema_description:"more alerts wait than waiting says"`
	SkippedOld uint64      `json:"skipped_old"`
	Position   uint64      `json:"position"` // number in the journal
	Totals     Totals      `json:"totals"`
	Layout     Layout      `json:"layout"`
	Switches
}

// Switches are what is switched on an overlay.
type Switches struct {
	Paused  bool `json:"paused"`
	Muted   bool `json:"muted"`
	Stopped bool `json:"stopped"` // with all overlays
}

// PageState is one open page.
type PageState struct {
	Since   time.Time `json:"since"`
	Agent   string    `json:"agent"`
	Visible bool      `json:"visible"`
	Preview bool      `json:"preview"`
}

// Shown is an alert that was shown.
type Shown struct {
	Alert Alert     `json:"alert"`
	Time  time.Time `json:"time"`
}

// State returns what the overlay does now.
func (s *Stage) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := State{
		Name: s.name, Pages: make([]PageState, 0, len(s.pages)), LastShown: s.shown, SkippedOld: s.queue.old,
		Waiting: len(s.queue.waiting) + len(s.queue.urgent), More: s.queue.more, Totals: s.counts.Totals, Layout: s.settings.Position,
		Switches: Switches{Paused: s.saved.Paused, Muted: s.saved.Muted, Stopped: s.stopped},
	}
	st.Totals.Goal = s.settings.Goal
	for _, p := range s.pages {
		st.Pages = append(st.Pages, PageState{p.since, p.request.Agent, p.visible, p.request.Preview})
	}
	slices.SortFunc(st.Pages, func(a, b PageState) int { return a.Since.Compare(b.Since) })
	if t := s.turn; t != nil && !t.started.IsZero() {
		a := t.alert
		st.Showing = &a
	} else if t != nil {
		st.Waiting += max(1, len(t.events))
	}
	if s.saved.Position != nil {
		st.Position = *s.saved.Position
	}
	if s.saved.Layout != nil {
		st.Layout = *s.saved.Layout
	}
	return st
}

// Stats are numbers of an overlay.
type Stats struct {
	Pages   int    // open ones, without previews
	Waiting int    // treats in memory; the journal may hold more
	Shown   uint64 // alerts, since relay started
}

func (s *Stage) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := Stats{Waiting: len(s.queue.waiting) + len(s.queue.urgent), Shown: s.shownCount}
	for _, p := range s.pages {
		if !p.request.Preview {
			now.Pages++
		}
	}
	return now
}

// control does f and saves it. If it cannot be saved, it has happened nevertheless, until relay restarts.
func (s *Stage) control(ctx context.Context, verb string, f func()) error {
	if err := s.change(ctx, f); err != nil {
		return fmt.Errorf("%s overlay %s: %w", verb, s.name, err)
	}
	return nil
}

// Pause keeps alerts waiting. One that is on screen stays for its time.
func (s *Stage) Pause(ctx context.Context) error {
	return s.control(ctx, "pause", func() { s.saved.Paused = true; s.withdraw(); s.hold() })
}

// Resume ends Pause.
func (s *Stage) Resume(ctx context.Context) error {
	return s.control(ctx, "resume", func() { s.saved.Paused = false; s.hold() })
}

// Mute silences sound and speech at once.
func (s *Stage) Mute(ctx context.Context) error { return s.setMuted(ctx, "mute", true) }

// Unmute ends Mute.
func (s *Stage) Unmute(ctx context.Context) error { return s.setMuted(ctx, "unmute", false) }

func (s *Stage) setMuted(ctx context.Context, verb string, muted bool) error {
	return s.control(ctx, verb, func() { s.saved.Muted = muted; s.broadcast(s.settingsMessage()) })
}

// SetLayout moves the box, instead of the position in the settings, until that changes; nil moves it back. The error may be a [SettingError].
func (s *Stage) SetLayout(ctx context.Context, l *Layout) error {
	if l != nil {
		if err := l.Check(); err != nil {
			return fmt.Errorf("move the box of overlay %s: %w", s.name, err)
		}
		moved := *l
		l = &moved
	}
	return s.control(ctx, "move the box of", func() {
		position := s.settings.Position
		s.saved.Layout, s.saved.Over = l, &position
		s.broadcast(s.settingsMessage())
	})
}

// reposition moves the box to the position in the settings if that has changed since [Stage.SetLayout].
func (s *Stage) reposition() {
	switch position := s.settings.Position; {
	case s.saved.Layout == nil:
	case s.saved.Over == nil: // saved by an earlier version
		s.saved.Over = &position
	case *s.saved.Over != position:
		s.saved.Layout, s.saved.Over = nil, nil
		s.version++
	}
}

// Skip is [Stage.SkipAlert] for callers who need not know the alert.
func (s *Stage) Skip(ctx context.Context) error {
	_, err := s.SkipAlert(ctx)
	return err
}

// SkipAlert takes the alert off the screen, or, if there is none, drops the next one that waits. Its treats leave the ticker for good. It returns the
// alert, or nil if there is none.
func (s *Stage) SkipAlert(ctx context.Context) (skipped *Alert, err error) {
	err = s.control(ctx, "skip an alert of", func() {
		switch t := s.turn; {
		case t != nil:
			skipped = &t.alert
			s.hide()
			s.settle(t, s.now())
			s.turn = nil
			s.remove(t.treats)
		case len(s.queue.urgent) > 0:
			u := s.queue.urgent[0]
			skipped = &u.alert
			s.saved.Again = without(s.saved.Again, u.alert.Number)
			s.queue.urgent = slices.Delete(s.queue.urgent, 0, 1)
			s.remove(u.treats())
		case len(s.queue.waiting) > 0:
			e := s.queue.take(1)[0]
			skipped = &Alert{Number: e.Seq, ID: e.ID, Account: e.Account, Origin: e.Origin, Time: e.Time}
			if a, err := s.look.alert(e); err == nil {
				skipped = &a
			}
			s.remove(span{e.Seq, e.Seq})
		}
		s.place()
	})
	return skipped, err
}

// Clear drops everything that waits, and empties the ticker. An alert that is on screen stays for its time.
func (s *Stage) Clear(ctx context.Context) error {
	last, err := s.config.Feed.Last(ctx)
	if err != nil {
		return fmt.Errorf("clear overlay %s: %w", s.name, err)
	}
	return s.control(ctx, "clear", func() {
		s.withdraw()
		s.queue.clear(last)
		s.saved.Again = nil
		s.removeUpTo(last)
		s.place()
	})
}

// ShowAgain shows the treat with a number in the journal or, if number is 0, with an id before all that wait. The error
// is [ErrNoTreat] if there is none, [ErrLeftOut] if the overlay does not show its account, or [ErrTooManyAsked].
func (s *Stage) ShowAgain(ctx context.Context, number uint64, id string) error {
	u, err := s.find(ctx, number, id)
	if err != nil {
		return fmt.Errorf("show a treat again on overlay %s: %w", s.name, err)
	}
	var full error
	err = s.control(ctx, "show a treat again on", func() {
		if full = s.queue.ask(u); full == nil {
			s.saved.Again = append(without(s.saved.Again, u.alert.Number), u.alert.Number)
		}
	})
	if full != nil {
		return fmt.Errorf("show a treat again on overlay %s: %w", s.name, full)
	}
	return err
}

// find makes an urgent alert of a treat.
func (s *Stage) find(ctx context.Context, number uint64, id string) (*urgent, error) {
	e, err := s.config.Feed.Find(ctx, number, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	look, shows := s.look, s.settings.shows(e.Account)
	s.mu.Unlock()
	if !shows {
		return nil, fmt.Errorf("treat of the account %s: %w", e.Account, ErrLeftOut)
	}
	a, err := look.alert(e)
	if err != nil {
		return nil, err
	}
	a.Repeat = true
	return &urgent{alert: a}, nil
}

// findAgain makes the alerts that were to be shown again before the restart. Those that the journal or the settings do not have any more are gone.
func (s *Stage) findAgain(ctx context.Context) ([]*urgent, error) {
	s.mu.Lock()
	numbers := slices.Clone(s.saved.Again)
	s.mu.Unlock()
	var found []*urgent
	for _, number := range numbers {
		u, err := s.find(ctx, number, "")
		switch {
		case errors.Is(err, ErrNoTreat), errors.Is(err, ErrLeftOut):
		case err != nil:
			return nil, err
		default:
			found = append(found, u)
		}
	}
	return found, nil
}

// Test shows an alert with these texts before all that wait, also to a preview. It is not journaled, and not repeated
// after a restart. The error is [ErrTooManyAsked].
func (s *Stage) Test(t Text) error {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := Alert{ID: "test-" + strconv.FormatInt(now.UnixNano(), 10), Origin: pipeline.OriginTest, Time: now.UTC(), Repeat: true}
	a.Text = s.look.text(&t.Sender, &t.Title, &t.Message)
	a.Anonymous = t.Anonymous || a.Sender == ""
	a.Picture = s.look.pictures.Of(a.Title)
	if err := s.queue.ask(&urgent{alert: a, test: true}); err != nil {
		return fmt.Errorf("test overlay %s: %w", s.name, err)
	}
	s.poke()
	return nil
}

// setStopped takes every alert off the screen and the treats out of the ticker, and keeps it off until stopped is false.
func (s *Stage) setStopped(stopped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = stopped
	if stopped {
		s.withdraw()
		s.turn = nil
		s.hide()
	}
	s.hold()
	s.broadcast(s.recentMessage())
	s.poke()
}

func without(numbers []uint64, number uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(numbers), func(n uint64) bool { return n == number })
}
