package journal

import "sync"

// broadcast wakes all waiters. The zero value is ready for use.
type broadcast struct {
	mu sync.Mutex
	c  chan struct{} // nil: nobody waits
}

// wait returns a channel that the next call of [broadcast.fire] closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

func (b *broadcast) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
