package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// globalKey is the key of what holds for all overlays.
const globalKey = "overlays"

// global is the saved state of all overlays together.
type global struct {
	Stopped bool `json:"stopped"`
}

// Stages are all overlays of a relay. Its methods are safe for concurrent use.
type Stages struct {
	config  Config
	changed chan struct{} // the set of stages has changed
	saving  sync.Mutex    // held while global is saved

	mu     sync.Mutex
	stages map[string]*Stage
	global global
}

// NewStages loads the saved state of the overlays. Keys and controls work at once, alerts are shown while Run runs.
func NewStages(ctx context.Context, config Config, settings map[string]Settings) (*Stages, error) {
	s := &Stages{config: config, changed: make(chan struct{}, 1), stages: make(map[string]*Stage, len(settings))}
	data, err := config.Store.Get(ctx, globalKey)
	if err != nil {
		return nil, fmt.Errorf("load the state of all overlays: %w", err)
	}
	if data != nil {
		if err := json.Unmarshal(data, &s.global); err != nil {
			return nil, fmt.Errorf("decode the saved state of all overlays: %w", err)
		}
	}
	return s, s.Replace(ctx, settings)
}

// Replace sets new settings, as at a reload: overlays appear, change and disappear. If one cannot be loaded, the others
// are replaced nevertheless.
func (s *Stages) Replace(ctx context.Context, settings map[string]Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if st := s.stages[name]; st != nil {
			st.replace(settings[name])
			continue
		}
		st, err := newStage(ctx, name, &s.config, settings[name], s.global.Stopped)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.stages[name] = st
	}
	for name := range s.stages {
		if _, ok := settings[name]; !ok {
			delete(s.stages, name)
		}
	}
	s.signal()
	return errors.Join(errs...)
}

// Remove removes an overlay with its keys, its counters and what waits, and closes its pages. If the error is not [ErrNoOverlay], it is gone only until
// relay restarts. An overlay of the settings comes back with the next Replace.
func (s *Stages) Remove(ctx context.Context, name string) error {
	s.mu.Lock()
	st := s.stages[name]
	delete(s.stages, name)
	s.mu.Unlock()
	if st == nil {
		return fmt.Errorf("overlay %.70q: %w", name, ErrNoOverlay)
	}
	st.saving.Lock()
	st.forgotten = true // Run saves when it ends
	st.saving.Unlock()
	st.mu.Lock()
	st.closePages()
	st.mu.Unlock()
	s.signal()
	ctx, cancel := context.WithTimeoutCause(ctx, saveTimeout, errSaving)
	defer cancel()
	if err := s.config.Store.Delete(ctx, st.key()); err != nil {
		return fmt.Errorf("remove overlay %s: %w", name, err)
	}
	return nil
}

// signal tells Run that the set of stages has changed.
func (s *Stages) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run runs every overlay until ctx ends, and returns when all have stopped.
func (s *Stages) Run(ctx context.Context) {
	type running struct {
		stop context.CancelFunc
		done chan struct{}
	}
	all := map[*Stage]running{}
	end := func(st *Stage) {
		all[st].stop()
		<-all[st].done
		delete(all, st)
	}
	defer func() {
		for _, r := range all {
			r.stop()
		}
		for st := range all {
			end(st)
		}
	}()
	for {
		wanted := s.all()
		for st := range all {
			if !slices.Contains(wanted, st) {
				end(st)
			}
		}
		for _, st := range wanted {
			if _, ok := all[st]; ok {
				continue
			}
			ctx, stop := context.WithCancel(ctx)
			r := running{stop, make(chan struct{})}
			all[st] = r
			go func() {
				defer close(r.done)
				st.Run(ctx)
			}()
		}
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
	}
}

// all returns the stages in the order of their names.
func (s *Stages) all() []*Stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.stages), func(a, b *Stage) int { return strings.Compare(a.name, b.name) })
}

// Stage returns an overlay by its name. If there is none, the error is [ErrNoOverlay].
func (s *Stages) Stage(name string) (*Stage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.stages[name]; st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("overlay %.70q: %w", name, ErrNoOverlay)
}

// Names returns the names of the overlays, sorted.
func (s *Stages) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.stages))
}

// Stopped reports whether all overlays are stopped.
func (s *Stages) Stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.global.Stopped
}

// States returns the state of every overlay, in the order of their names.
func (s *Stages) States() []State {
	var all []State
	for _, st := range s.all() {
		all = append(all, st.State())
	}
	return all
}

// Stats returns the numbers of every overlay, by name.
func (s *Stages) Stats() map[string]Stats {
	all := make(map[string]Stats)
	for _, st := range s.all() {
		all[st.name] = st.stats()
	}
	return all
}

// Stop takes every alert off every screen at once, and keeps them off until Start, also after a restart. Treats wait. If
// it cannot be saved, it holds until relay restarts.
func (s *Stages) Stop(ctx context.Context) error { return s.setStopped(ctx, "stop", true) }

// Start ends Stop.
func (s *Stages) Start(ctx context.Context) error { return s.setStopped(ctx, "start", false) }

func (s *Stages) setStopped(ctx context.Context, verb string, stopped bool) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	s.global.Stopped = stopped
	for _, st := range s.stages {
		st.setStopped(stopped)
	}
	data, err := json.Marshal(s.global)
	s.mu.Unlock()
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, saveTimeout, errSaving)
		defer cancel()
		err = s.config.Store.Put(ctx, globalKey, data)
	}
	if err != nil {
		return fmt.Errorf("%s all overlays: %w", verb, err)
	}
	return nil
}
