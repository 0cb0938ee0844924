package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// saveTimeout bounds one write to the [Store].
	saveTimeout = 10 * time.Second
	// savePace is how often a position is saved that nobody waits for.
	savePace = time.Second
	// retryPause is how long a stage waits before it reads the journal again after an error.
	retryPause = time.Second
)

var (
	errRestart = errors.New("the stage reads the journal from another place")
	errSaving  = errors.New("the store took longer than 10s")
)

// Stage is one overlay. Its methods are safe for concurrent use. Alerts are shown only while [Stage.Run] runs; controls
// and keys work without it, and are saved.
type Stage struct {
	name   string
	config *Config
	wake   chan struct{} // something has changed

	mu       sync.Mutex // guards what follows, apart from disk.saving
	settings Settings
	look     look
	saved    saved
	queue    queue
	counts   counts
	screen
	disk
}

// screen is what pages show.
type screen struct {
	pages    map[string]*Page // by id
	turn     *turn            // nil: no alert
	lastTurn uint64
	shown    *Shown
	// shownCount is the number of alerts that pages began to show.
	shownCount uint64
	stopped    bool
}

// disk tells which changes are saved.
type disk struct {
	version   uint64     // rises with each change of saved
	written   uint64     // the version that was saved last
	saving    sync.Mutex // held while one is saved
	forgotten bool       // nothing is saved any more; guarded by saving
}

// saved is the part of a stage that survives a restart.
type saved struct {
	Keys          []Key     `json:"keys,omitempty"`
	Position      *uint64   `json:"position,omitempty"` // nil: the overlay has never run
	Paused        bool      `json:"paused,omitempty"`
	Muted         bool      `json:"muted,omitempty"`
	Layout        *Layout   `json:"layout,omitempty"`    // instead of the one in the settings
	Over          *Layout   `json:"layout_of,omitempty"` // the one in the settings when Layout was set
	CountersSince time.Time `json:"counters_since"`
	Again         []uint64  `json:"again,omitempty"`   // numbers of alerts to show again
	Held          *uint64   `json:"held,omitempty"`    // while paused or stopped: the widgets show nothing beyond this number
	Cleared       uint64    `json:"cleared,omitempty"` // the ticker shows only treats beyond this number
	Removed       []span    `json:"removed,omitempty"` // and none of these
}

// newStage returns a stage with its saved state.
func newStage(ctx context.Context, name string, config *Config, settings Settings, stopped bool) (*Stage, error) {
	s := &Stage{
		name: name, config: config, wake: make(chan struct{}, 1), settings: settings, look: newLook(&settings),
		queue: queue{room: make(chan struct{}, 1)}, screen: screen{pages: make(map[string]*Page), stopped: stopped},
	}
	data, err := config.Store.Get(ctx, s.key())
	if err != nil {
		return nil, fmt.Errorf("load overlay %s: %w", name, err)
	}
	if data != nil {
		if err := json.Unmarshal(data, &s.saved); err != nil {
			return nil, fmt.Errorf("decode the saved state of overlay %s: %w", name, err)
		}
	}
	s.hold()
	s.reposition()
	return s, nil
}

func (s *Stage) key() string { return "overlay." + s.name }

// Name is the name of the overlay.
func (s *Stage) Name() string { return s.name }

// Run shows alerts until ctx ends. Then it closes all pages and saves the position. Call it once.
func (s *Stage) Run(ctx context.Context) {
	defer s.stop(ctx)
	if !s.start(ctx) {
		return
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	readers.Go(func() { s.follow(ctx) })
	readers.Go(func() { s.count(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	saveAt := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		now := s.now()
		s.mu.Lock()
		next := s.advance(now)
		unsaved := s.version != s.written
		s.mu.Unlock()
		if unsaved && !now.Before(saveAt) {
			saveAt = now.Add(savePace)
			_ = s.save(ctx) // which logs the error; it is tried again
			unsaved = false
		}
		if unsaved {
			next = earliest(next, saveAt)
		}
		if next.IsZero() {
			next = now.Add(time.Minute)
		}
		timer.Reset(time.Until(next))
	}
}

// start finds the place in the journal to begin at. It returns false if ctx ends first.
func (s *Stage) start(ctx context.Context) bool {
	s.retryOnce(ctx, "position", func(ctx context.Context) error {
		last, err := s.config.Feed.Last(ctx)
		if err != nil {
			return err
		}
		again, err := s.findAgain(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		at := last // of a new overlay, and of a journal that begins again or was restored
		if p := s.saved.Position; p != nil {
			at = min(*p, last)
		}
		if s.saved.Position == nil || *s.saved.Position != at {
			s.saved.Position = &at
			s.version++
		}
		if s.saved.CountersSince.IsZero() {
			s.saved.CountersSince = s.now()
			s.version++
		}
		s.forgetBeyond(last)
		s.queue.readTo = max(s.queue.readTo, at)
		again = slices.DeleteFunc(again, func(u *urgent) bool { return s.queue.holds(u.alert.Number) }) // asked for since relay started
		s.queue.urgent = append(again, s.queue.urgent...)
		return nil
	})
	return ctx.Err() == nil
}

// stop closes all pages and saves the state.
func (s *Stage) stop(ctx context.Context) {
	s.mu.Lock()
	s.withdraw()
	s.turn = nil
	s.closePages()
	s.mu.Unlock()
	_ = s.save(context.WithoutCancel(ctx)) // which logs the error
}

// retry calls f again and again until ctx ends. It logs an error when it begins, changes and ends.
func (s *Stage) retry(ctx context.Context, what string, f func(context.Context) error) {
	for ctx.Err() == nil {
		s.retryOnce(ctx, what, f)
	}
}

// retryOnce calls f until it returns no error or ctx ends.
func (s *Stage) retryOnce(ctx context.Context, what string, f func(context.Context) error) {
	logged := ""
	for {
		err := f(ctx)
		if ctx.Err() != nil || err == nil || errors.Is(err, errRestart) {
			return
		}
		if text := err.Error(); text != logged {
			logged = text
			s.config.Log.Warn().Str("overlay", s.name).Str("for", what).Err(err).Msg("an overlay cannot read the journal; it tries again each second")
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

func (s *Stage) now() time.Time {
	if s.config.Location != nil {
		return time.Now().In(s.config.Location)
	}
	return time.Now()
}

// poke makes Run look at what is due.
func (s *Stage) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// change changes the saved state, and saves it.
func (s *Stage) change(ctx context.Context, f func()) error {
	s.mu.Lock()
	f()
	s.version++
	s.mu.Unlock()
	s.poke()
	return s.save(ctx)
}

// save makes the state durable. Calls that wait for one another are served by one write.
func (s *Stage) save(ctx context.Context) error {
	s.mu.Lock()
	wanted := s.version
	s.mu.Unlock()
	s.saving.Lock()
	defer s.saving.Unlock()
	if s.forgotten {
		return nil
	}
	s.mu.Lock()
	version, done := s.version, s.written >= wanted
	data, err := json.Marshal(s.saved)
	s.mu.Unlock()
	if done {
		return nil
	}
	if err == nil {
		// A page that goes away while its report is saved must not undo the report.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), saveTimeout, errSaving)
		defer cancel()
		err = s.config.Store.Put(ctx, s.key(), data)
	}
	if err != nil {
		s.config.Log.Error().Str("overlay", s.name).Err(err).Msg("the state of an overlay was not saved; after a restart an alert may come again")
		return fmt.Errorf("save overlay %s: %w", s.name, err)
	}
	s.mu.Lock()
	s.written = max(s.written, version)
	s.mu.Unlock()
	return nil
}

// replace sets new settings, from a reload.
func (s *Stage) replace(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	accounts := !slices.Equal(s.settings.Accounts, settings.Accounts)
	s.settings, s.look = settings, newLook(&settings)
	s.reposition()
	if accounts {
		s.withdraw()
		s.dropOthers()
		s.queue.restart(s.position())
		s.counts.restart()
		s.closePages() // a key for one account may not open it any more
	}
	s.counts.changed = true
	s.broadcast(s.settingsMessage())
	s.poke()
}
