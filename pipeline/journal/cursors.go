package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/treatrelay/relay/pipeline"
)

// SetCursors provides the current cursors, by sink, of the lanes that this process runs. They are ahead of their copies in
// the state. From then on current may be called at any time, also concurrently.
func (j *Journal) SetCursors(current func() map[string]Cursor) { j.lanes.Store(&current) }

// ListState lists keys of the state like [State]. The cursors of lanes that this process runs are the current ones.
func (j *Journal) ListState(ctx context.Context, prefix string, visit func(key string, value []byte) error) error {
	live, err := j.liveCursors()
	if err != nil {
		return err
	}
	return j.cfg.State.List(ctx, prefix, func(key string, value []byte) error {
		if now, ok := live[key]; ok {
			value = now
		}
		return visit(key, value)
	})
}

// GetState returns a value of the state like [State]. The cursor of a lane that this process runs is the current one.
func (j *Journal) GetState(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	value, revision, err = j.cfg.State.Get(ctx, key)
	if err != nil || !strings.HasPrefix(key, cursorPrefix) {
		return value, revision, err
	}
	live, err := j.liveCursors()
	if now, ok := live[key]; ok {
		value = now
	}
	return value, revision, err
}

// liveCursors returns the encoded cursors of the lanes that this process runs, by key.
func (j *Journal) liveCursors() (map[string][]byte, error) {
	lanes := j.lanes.Load()
	if lanes == nil {
		return nil, nil
	}
	live := make(map[string][]byte)
	for sink, c := range (*lanes)() {
		value, err := pipeline.EncodeJSON(c)
		if err != nil {
			return nil, fmt.Errorf("encode the cursor of sink %s: %w", sink, err)
		}
		live[CursorKey(sink)] = value
	}
	return live, nil
}

// Cursors returns the cursors of the lanes by sink. It leaves out one that is damaged.
func (j *Journal) Cursors(ctx context.Context) (map[string]Cursor, error) {
	all := make(map[string]Cursor)
	err := j.cfg.State.List(ctx, cursorPrefix, func(key string, value []byte) error {
		var c Cursor
		if json.Unmarshal(value, &c) == nil {
			all[strings.TrimPrefix(key, cursorPrefix)] = c
		}
		return nil
	})
	if err != nil && !errors.Is(err, ErrDamagedValue) {
		return nil, fmt.Errorf("read the cursors of the sinks: %w", err)
	}
	if current := j.lanes.Load(); current != nil {
		maps.Copy(all, (*current)())
	}
	return all, nil
}
