// Package overlays runs the overlays of web/overlay over a journal: in a running relay, and for commands while none runs.
package overlays

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/overlayjournal"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/overlay"
)

// Config configures a [Service].
type Config struct {
	Journal  *journal.Journal
	Settings map[string]overlay.Settings // by the name of the overlay
	Files    string                      // the folder with a folder for each overlay
	Log      zerolog.Logger
}

// Service has the overlays of a journal: those of the configuration, and those that a command created, which have the default settings. Its methods
// are safe for concurrent use.
type Service struct {
	*overlay.Stages
	journal *journal.Journal
	log     zerolog.Logger

	mu         sync.Mutex
	settings   map[string]overlay.Settings // by name, with those that a command created
	configured map[string]overlay.Settings // those of the configuration alone
}

// Open loads the overlays. They show alerts while Run runs.
func Open(ctx context.Context, c Config) (*Service, error) {
	s := &Service{journal: c.Journal, log: c.Log, configured: c.Settings}
	if err := s.merge(ctx, c.Settings); err != nil {
		return nil, err
	}
	var err error
	s.Stages, err = overlay.NewStages(ctx, overlay.Config{
		Feed: overlayjournal.Feed(c.Journal), Store: overlayjournal.Store(c.Journal.State()), Files: c.Files, Log: c.Log,
	}, s.settings)
	return s, err
}

// merge sets the settings, together with the defaults of the overlays that only the journal's state knows.
func (s *Service) merge(ctx context.Context, configured map[string]overlay.Settings) error {
	all := maps.Clone(configured)
	if all == nil {
		all = make(map[string]overlay.Settings)
	}
	err := s.journal.ListState(ctx, statePrefix, func(key string, _ []byte) error {
		name := strings.TrimPrefix(key, statePrefix)
		if _, ok := all[name]; !ok && overlay.CheckName(name) == nil {
			all[name] = overlay.NewSettings()
		}
		return nil
	})
	if err == nil {
		s.settings = all
	}
	return err
}

// statePrefix is what the keys of overlays in the journal's state begin with.
const statePrefix = "overlay."

// Reload sets the settings of a new configuration. It logs a warning for each overlay that the configuration does not have any more, while keys open it.
func (s *Service) Reload(ctx context.Context, configured map[string]overlay.Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.merge(ctx, configured); err != nil {
		return err
	}
	before := s.configured
	s.configured = configured
	err := s.Replace(ctx, s.settings)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := configured[name]; ok {
			continue
		}
		if st, err := s.Stage(name); err == nil && len(st.Keys()) > 0 {
			s.log.Warn().Str("overlay", name).Msg("this overlay is no longer in the configuration: its keys still open it, with the default settings and for all accounts")
		}
	}
	return err
}

// Create returns the overlay of a name, and creates it if it does not exist.
func (s *Service) Create(ctx context.Context, name string) (*overlay.Stage, error) {
	if err := overlay.CheckName(name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.settings[name]; !ok {
		s.settings[name] = overlay.NewSettings()
		if err := s.Replace(ctx, s.settings); err != nil {
			return nil, err
		}
	}
	return s.Stage(name)
}

// ErrConfigured means that the configuration has the overlay.
var ErrConfigured = errors.New("it is in the configuration")

// Remove removes an overlay that the configuration does not have. The error is [ErrConfigured] if it has it.
func (s *Service) Remove(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.configured[name]; ok {
		return fmt.Errorf("remove overlay %s: %w", name, ErrConfigured)
	}
	delete(s.settings, name)
	return s.Stages.Remove(ctx, name)
}

// Handler serves the pages of the overlays below /api/v1/overlays.
func (s *Service) Handler() http.Handler { return overlay.Handler(s.Stages) }

// Keys returns the keys of all overlays, as [web.Keys] wants them.
func (s *Service) Keys() web.Keys { return keys{s.Stages} }

type keys struct{ stages *overlay.Stages }

// Check implements [web.Keys].
func (k keys) Check(_ context.Context, key string) (web.Overlay, bool) {
	name, account, ok := k.stages.Check(key)
	return web.Overlay{Name: name, Account: account}, ok
}
