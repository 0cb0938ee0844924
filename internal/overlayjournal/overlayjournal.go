// Package overlayjournal lets overlays read a journal, and keep their state in the one next to it.
package overlayjournal

import (
	"context"
	"errors"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/web/overlay"
)

// Feed returns the treats of a journal.
func Feed(j *journal.Journal) overlay.Feed { return feed{j} }

// Store returns the values in a journal's state.
func Store(s journal.State) overlay.Store { return store{s} }

// feed reads a journal.
type feed struct{ journal *journal.Journal }

// Follow implements [overlay.Feed].
func (f feed) Follow(ctx context.Context, r overlay.FollowRequest, visit func(overlay.Event) error) error {
	return query.Follow(ctx, f.journal, query.FollowConfig{Accounts: r.Accounts, After: r.After, Since: r.Since}, func(e query.Event) error {
		return visit(overlay.Event{Record: e.Record, Time: e.Time, Journaled: e.Journaled})
	})
}

// Find implements [overlay.Feed].
func (f feed) Find(ctx context.Context, number uint64, id string) (overlay.Event, error) {
	filter := query.EventFilter{IDs: []string{id}}
	if number > 0 {
		filter = query.EventFilter{After: number - 1, Last: number}
	}
	for e, err := range query.Events(ctx, f.journal, filter) {
		return overlay.Event{Record: e.Record, Time: e.Time, Journaled: e.Journaled}, err
	}
	return overlay.Event{}, overlay.ErrNoTreat
}

// Last implements [overlay.Feed].
func (f feed) Last(ctx context.Context) (uint64, error) { return f.journal.LastNumber(ctx) }

// store keeps values in a journal's state.
type store struct{ state journal.State }

// Get implements [overlay.Store].
func (s store) Get(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.state.Get(ctx, key)
	if errors.Is(err, journal.ErrNoKey) {
		return nil, nil
	}
	return value, err
}

// Put implements [overlay.Store].
func (s store) Put(ctx context.Context, key string, value []byte) error {
	_, err := s.state.Put(ctx, key, value, journal.AnyRevision)
	return err
}

// Delete implements [overlay.Store].
func (s store) Delete(ctx context.Context, key string) error { return s.state.Delete(ctx, key) }
