package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Copy copies one cursor to the state.
func (s *Store) Copy(ctx context.Context, sink string) error {
	s.mu.Lock()
	lane := s.lanes[sink]
	s.mu.Unlock()
	if lane == nil {
		return nil // it was not opened after all
	}
	lane.copying.Lock()
	defer lane.copying.Unlock()
	s.mu.Lock()
	c := lane.cursor
	if lane.snapshot != nil {
		s.generation++
		c, _ = lane.snapshot(s.end(), false)
		c.Generation = s.generation
	}
	lane.stale = false
	s.mu.Unlock()
	value, err := pipeline.EncodeJSON(c)
	if err == nil {
		_, err = s.state.Put(ctx, journal.CursorKey(sink), value, journal.AnyRevision)
	}
	if err != nil {
		s.mu.Lock()
		lane.stale = true
		s.mu.Unlock()
		return fmt.Errorf("save the cursor of sink %s in the state: %w", sink, err)
	}
	return nil
}

// copyAll copies to the state the cursors that are older there.
func (s *Store) copyAll(ctx context.Context) error {
	s.mu.Lock()
	var stale []string
	for sink, lane := range s.lanes {
		if lane.stale {
			stale = append(stale, sink)
		}
	}
	s.mu.Unlock()
	slices.Sort(stale)
	ctx, cancel := context.WithTimeoutCause(ctx, copyTime, errCopyLate)
	defer cancel()
	var work sync.WaitGroup
	var failed firstError
	next := make(chan string)
	for range min(copiesAtOnce, len(stale)) {
		work.Go(func() {
			for sink := range next {
				failed.note(s.Copy(ctx, sink))
			}
		})
	}
	for _, sink := range stale {
		next <- sink
	}
	close(next)
	work.Wait()
	return failed.err
}

var errCopyLate = errors.New("the state takes longer than 5 s")

type firstError struct {
	mu  sync.Mutex
	err error
}

func (f *firstError) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// Run saves the cursors until ctx ends.
func (s *Store) Run(ctx context.Context) {
	var copier sync.WaitGroup
	copier.Go(func() { s.runCopies(ctx) })
	defer copier.Wait()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	early, rest := s.early, (<-chan time.Time)(nil)
	for {
		select {
		case <-tick.C:
			_ = s.Save(false) // it logs a failure and retries
		case <-early:
			_ = s.save(false, false)
			early, rest = nil, time.After(writePause)
		case <-rest:
			early = s.early
		case <-ctx.Done():
			_ = s.Save(true)
			return
		}
	}
}

func (s *Store) runCopies(ctx context.Context) {
	tick := time.NewTicker(copyEvery)
	defer tick.Stop()
	logged := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := s.copyAll(ctx)
		switch {
		case err == nil:
			logged = ""
		case ctx.Err() == nil && err.Error() != logged:
			logged = err.Error()
			s.logger.Warn().Err(err).Msg("copies of the cursors in the state are behind")
		}
	}
}
