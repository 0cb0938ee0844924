package server

import (
	"context"
	"sync"
	"time"
)

const (
	// largeEvent is the size in bytes from which an event counts as large.
	largeEvent = 64 << 10
	// largeAtOnce is how many readers are sent a large event at the same time. The others wait, without an event in memory.
	largeAtOnce = 16
	// turnTime is how long a reader may take for a large event while others wait.
	turnTime = 5 * time.Second
	// hurryEvery is how often a reader that waits checks for slow ones.
	hurryEvery = time.Second
)

// turns limits how many large events are in memory for readers, however many of those there are. Its zero value is not usable.
type turns struct {
	free chan struct{} // has an element for each turn that is taken

	mu    sync.Mutex
	taken map[*stream]time.Time // since when
}

func newTurns() *turns {
	return &turns{free: make(chan struct{}, largeAtOnce), taken: make(map[*stream]time.Time)}
}

// take waits for a turn. The error is the cause of the end of ctx.
func (t *turns) take(ctx context.Context, st *stream) error {
	tick := time.NewTicker(hurryEvery)
	defer tick.Stop()
	for {
		select {
		case t.free <- struct{}{}:
			t.mu.Lock()
			defer t.mu.Unlock()
			t.taken[st] = time.Now()
			return nil
		case <-tick.C:
			t.hurry()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// done ends the turn of a reader, if it has one.
func (t *turns) done(st *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.taken[st]; ok {
		delete(t.taken, st)
		<-t.free
	}
}

// hurry disconnects the readers whose turn is over.
func (t *turns) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for st, since := range t.taken {
		if time.Since(since) > turnTime {
			st.drop()
		}
	}
}
