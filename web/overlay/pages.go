package overlay

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/treatrelay/relay/internal/displaytext"
	"github.com/treatrelay/relay/web/overlay/alerttext"
)

const (
	// maxPages is how many pages of one overlay may be open.
	maxPages = 64
	// pageBuffer is how many messages a page may lag behind. It is closed then, and connects again.
	pageBuffer = 64
)

// PageRequest is what a page says when it opens.
type PageRequest struct {
	ID      string   // of the page, chosen by it at random; a page that connects again has the same
	Account string   // the only account that its key opens; empty: all
	Agent   string   // the browser
	Widgets []Widget // instead of those of the settings; empty: those
	Preview bool     // it shows what others show, and does not count as a page
	Speech  bool     // it reads alerts aloud, whatever the settings are
	Turn    uint64   // that it shows, if it connects again during one
}

// Page is an open page.
type Page struct {
	stage    *Stage
	request  PageRequest
	since    time.Time
	visible  bool
	stalled  bool // it did not start an alert in time, and has not been heard of since
	messages chan Message
}

// Message is one Server-Sent Event for a page.
type Message struct {
	Event string
	Data  json.RawMessage // in one line
}

// The events of messages.
const (
	messageSettings = "settings"
	messageShow     = "show"
	messageHide     = "hide"
	messageRecent   = "recent"
	messageTotals   = "totals"
)

// show tells a page to show an alert.
type show struct {
	Turn     uint64   `json:"turn"` // identifies this showing in reports
	Alert    Alert    `json:"alert"`
	Duration int64    `json:"duration_ms"`
	IDs      []string `json:"ids,omitempty"` // of all treats of a merged alert
}

// pageSettings are the settings for a page.
type pageSettings struct {
	Theme    Theme    `json:"theme"`
	Widgets  []Widget `json:"widgets"`
	Layout   Layout   `json:"layout"`
	Locale   string   `json:"locale"`
	Muted    bool     `json:"muted"`
	Volume   int      `json:"volume"`
	Sound    string   `json:"sound,omitempty"`
	File     string   `json:"sound_file,omitempty"`
	Speech   bool     `json:"speech"`
	Language string   `json:"speech_language"`
}

func newMessage(event string, v any) Message {
	data, err := json.Marshal(v)
	if err != nil { // impossible: all types here can be encoded
		data = []byte("null")
	}
	return Message{event, data}
}

// Open adds a page. It gets the settings, the totals and the recent treats at once, but not an alert that others show
// already. A page that connects again keeps its alert on screen only while the turn of the alert goes on. The caller sends its messages, and calls Close. The error is [ErrTooManyPages] or [ErrOtherAccounts].
func (s *Stage) Open(r PageRequest) (*Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.settings.opensFor(r.Account) {
		return nil, fmt.Errorf("open overlay %s: %w", s.name, ErrOtherAccounts)
	}
	if old := s.pages[r.ID]; old != nil { // its connection was lost, and relay did not notice
		s.closePage(old)
	}
	if len(s.pages) >= maxPages {
		return nil, fmt.Errorf("open overlay %s: %w", s.name, ErrTooManyPages)
	}
	r.Agent = alerttext.Clamp(displaytext.Clean(r.Agent, 1), 200)
	p := &Page{stage: s, request: r, since: s.now(), visible: true, messages: make(chan Message, pageBuffer)}
	s.pages[r.ID] = p
	s.send(p, s.settingsMessage())
	if s.turn == nil || !s.turn.join(&r) {
		s.send(p, newMessage(messageHide, struct{}{}))
	}
	s.send(p, s.totalsMessage())
	s.send(p, s.recentMessage())
	s.poke()
	return p, nil
}

// Messages yields what the page is told. It is closed when the page is to connect again.
func (p *Page) Messages() <-chan Message { return p.messages }

// Close removes the page. It may be called more than once.
func (p *Page) Close() {
	s := p.stage
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closePage(p)
	s.poke()
}

func (s *Stage) closePage(p *Page) {
	if s.pages[p.request.ID] != p {
		return
	}
	delete(s.pages, p.request.ID)
	if s.turn != nil {
		s.turn.leave(p.request.ID, s.now())
	}
	close(p.messages)
}

// closePages closes all pages.
func (s *Stage) closePages() {
	for _, p := range slices.Collect(maps.Values(s.pages)) {
		s.closePage(p)
	}
}

// send sends a message, or closes the page if it lags.
func (s *Stage) send(p *Page, m Message) {
	select {
	case p.messages <- m:
	default:
		s.closePage(p)
	}
}

// broadcast sends messages to all pages.
func (s *Stage) broadcast(messages ...Message) {
	for _, p := range slices.Collect(maps.Values(s.pages)) {
		for _, m := range messages {
			if s.pages[p.request.ID] == p {
				s.send(p, m)
			}
		}
	}
}

// shownOn reports whether a page has a widget.
func (s *Stage) shownOn(p *Page, widget Widget) bool {
	if len(p.request.Widgets) > 0 {
		return slices.Contains(p.request.Widgets, widget)
	}
	return slices.Contains(s.settings.Widgets, widget)
}

// showsAlerts reports whether a page is open that shows alerts.
func (s *Stage) showsAlerts() bool {
	for _, p := range s.pages {
		if !p.request.Preview && s.shownOn(p, WidgetAlerts) {
			return true
		}
	}
	return false
}

func (s *Stage) settingsMessage() Message {
	c := &s.settings
	m := pageSettings{
		Theme: c.Theme, Widgets: c.Widgets, Layout: c.Position, Locale: c.Locale, Muted: s.saved.Muted, Volume: c.Volume,
		File: c.soundFile(), Speech: c.Speech, Language: c.SpeechLanguage,
	}
	if s.saved.Layout != nil {
		m.Layout = *s.saved.Layout
	}
	if m.File == "" {
		m.Sound = c.Sound
	}
	if m.Language == "" {
		m.Language = c.Locale
	}
	return newMessage(messageSettings, m)
}

func (s *Stage) totalsMessage() Message {
	t := s.counts.Totals
	if s.saved.Held != nil {
		t = s.counts.shown
	}
	t.Goal = s.settings.Goal
	return newMessage(messageTotals, t)
}

func (s *Stage) recentMessage() Message {
	list := make([]Alert, 0, len(s.counts.recent))
	for _, e := range s.counts.recent {
		if s.stopped {
			break
		}
		if a, err := s.look.alert(e); err == nil {
			a.Message = "" // the ticker has no room for it
			list = append(list, a)
		}
	}
	return newMessage(messageRecent, list)
}

// Report is what a page says about an alert, or about itself.
type Report struct {
	Page   string   `json:"page"` // as in [PageRequest]
	Turn   uint64   `json:"turn"`
	Number uint64   `json:"number"`
	ID     string   `json:"id"`
	State  string   `json:"state"`
	Known  []string `json:"known,omitempty" jsonschema_description:"when a page refuses an alert: the IDs of the treats in it that it has shown"`
}

// The states of a report.
const (
	// StateStarted asks whether to show an alert now. Only if there is no error may the page draw it.
	StateStarted = "started"
	// StateFinished means that the alert has left the screen, or, if it was not started, that the page refuses it because
	// it has shown it before.
	StateFinished = "finished"
	// StateVisible and StateHidden say whether the page itself can be seen.
	StateVisible = "visible"
	StateHidden  = "hidden"
)

// Report takes the report of a page. When it returns for StateStarted, the new position is saved. The error is
// [ErrNotShowing] if the turn of the alert is over, or if the page is not open.
func (s *Stage) Report(ctx context.Context, r Report) error {
	s.mu.Lock()
	save, err := s.report(r)
	s.mu.Unlock()
	s.poke()
	if save {
		_ = s.save(ctx) // which logs the error: the viewer's treat is shown all the same
	}
	return err
}

// reportAway takes the report of a page that is disconnected.
func (s *Stage) reportAway(r Report) error {
	t := s.turn
	if t == nil || t.id != r.Turn || t.away[r.Page].IsZero() || r.State != StateFinished {
		return ErrNotShowing
	}
	delete(t.away, r.Page)
	delete(t.pages, r.Page)
	return nil
}

func (s *Stage) report(r Report) (save bool, err error) {
	p := s.pages[r.Page]
	if p == nil {
		return false, s.reportAway(r)
	}
	p.stalled = false
	switch r.State {
	case StateVisible, StateHidden:
		p.visible = r.State == StateVisible
		return false, nil
	case StateStarted, StateFinished:
	default:
		return false, &usageError{fmt.Sprintf("state %.20q is unknown; use started, finished, visible or hidden", r.State)}
	}
	t := s.turn
	if t == nil || t.id != r.Turn || t.alert.Number != r.Number || t.alert.ID != r.ID {
		return false, ErrNotShowing
	}
	at, mine := t.pages[r.Page]
	switch {
	case !mine && p.request.Preview: // it may draw what others show
		return false, nil
	case !mine || r.State == StateStarted && at != offered && at != started:
		return false, ErrNotShowing
	case r.State == StateFinished && at == offered:
		t.pages[r.Page] = known
		t.known = append(t.known, r.Known...)
	case r.State == StateFinished:
		t.pages[r.Page] = finished
	default:
		t.pages[r.Page] = started
		if t.started.IsZero() {
			now := s.now()
			t.started = now
			s.shownCount++
			s.settle(t, now)
			return true, nil
		}
	}
	return false, nil
}
