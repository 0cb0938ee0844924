package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Limits on messages in flight, over all calls of Deliver. A message above the limit of bytes is sent alone.
const (
	maxInFlight      = 4096
	maxInFlightBytes = 8 << 20
)

// publisher publishes messages without waiting between them, and passes each reply to the call of its message. It
// serves one connection until that is lost, because a late reply must not be mistaken for that of another message.
type publisher struct {
	nc     *nats.Conn
	inbox  *nats.Subscription
	prefix string // of reply subjects; followed by the number of the slot

	mu       sync.Mutex
	slots    []slot
	free     []uint16
	bytes    int           // in flight
	unusable int           // slots that cannot be reused, because a reply may still arrive
	answered uint64        // replies received
	room     chan struct{} // closed when there is room again; nil if nobody waits
}

// slot is a message in flight. A message whose call has ended keeps its slot until its reply arrives.
type slot struct {
	call    *call // nil: the slot is free
	index   int   // of the record in the call
	size    int
	reply   string // subject of the reply; created once
	subject string
}

// newPublisher subscribes to replies, and returns once the server has accepted the subscription.
func newPublisher(ctx context.Context, nc *nats.Conn) (*publisher, error) {
	p := &publisher{nc: nc, prefix: nc.NewInbox() + ".", slots: make([]slot, maxInFlight), free: make([]uint16, maxInFlight)}
	for i := range p.slots {
		p.slots[i].reply = p.prefix + strconv.Itoa(i)
		p.free[i] = uint16(maxInFlight - 1 - i)
	}
	inbox, err := nc.Subscribe(p.prefix+"*", p.answer)
	if err == nil {
		p.inbox = inbox
		if err = inbox.SetPendingLimits(-1, -1); err == nil { // the slots are the limit
			err = nc.FlushWithContext(ctx)
		}
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("listen for answers: %w", outcome.Cause(ctx, err))
	}
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && bytes.Contains([]byte(err.Error()), []byte(p.prefix)) {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *publisher) close() {
	if p.inbox != nil {
		_ = p.inbox.Unsubscribe() // best effort: the subscription is not used any more
	}
}

// publish publishes m as the record with that index in call c. It waits for room until ctx ends, and does nothing if
// the call has already failed.
func (p *publisher) publish(ctx context.Context, c *call, index int, m *nats.Msg) error {
	size := len(m.Data) + overhead
	for {
		p.mu.Lock()
		if c.failed < len(c.accepted) {
			p.mu.Unlock()
			return nil
		}
		if len(p.free) > 0 && (p.bytes == 0 || p.bytes+size <= maxInFlightBytes) {
			break
		}
		if p.bytes == 0 { // no slot is usable
			p.mu.Unlock()
			return errExhausted
		}
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-c.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	i := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	s := &p.slots[i]
	s.call, s.index, s.size, s.subject = c, index, size, m.Subject
	p.bytes += size
	c.open++
	p.mu.Unlock()
	m.Reply = s.reply
	err := p.nc.PublishMsg(m)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.leave(i, errors.Is(err, nats.ErrMaxPayload)) != nil { // else deny has already refused it
			c.refuse(index, err)
		}
	}
	return err
}

// overhead is approximately what the protocol and the headers add to a message, in bytes.
const overhead = 256

// answer handles one reply of the server.
func (p *publisher) answer(m *nats.Msg) {
	i, err := strconv.ParseUint(m.Subject[len(p.prefix):], 10, 16)
	if err != nil || i >= maxInFlight {
		return
	}
	err = refusal(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	index := p.slots[i].index
	c := p.leave(uint16(i), true)
	if c == nil { // its call has ended
		return
	}
	p.answered++
	c.answered++
	if err != nil {
		c.refuse(index, err)
	} else {
		c.accept(index)
	}
}

// leave ends the use of a slot and returns the call that used it. The caller holds the lock. The slot can be reused
// only if no reply to its message can arrive any more, because that would be mistaken for the reply to the next
// message.
func (p *publisher) leave(i uint16, free bool) *call {
	s := &p.slots[i]
	c := s.call
	if c == nil {
		return nil
	}
	c.open--
	p.bytes -= s.size
	s.call, s.subject = nil, ""
	if free {
		p.free = append(p.free, i)
	} else {
		p.unusable++
	}
	if p.room != nil && (p.bytes == 0 || len(p.free) >= maxInFlight/4 && p.bytes <= maxInFlightBytes/4*3) {
		close(p.room)
		p.room = nil
	}
	return c
}

// deny refuses every message in flight on a subject that the server does not permit: no reply arrives for them.
func (p *publisher) deny(subject string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.slots {
		if s := &p.slots[i]; s.call != nil && s.subject == subject {
			p.leave(uint16(i), false).refuse(s.index, err)
		}
	}
}

// exhausted reports whether so many slots are unusable that the connection should be replaced.
func (p *publisher) exhausted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unusable > maxInFlight/4
}

// watch returns a context that ends if no reply arrives within patience. The caller must call the function when the
// call is over.
func (p *publisher) watch(ctx context.Context, c *call, patience time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		const checks = 8
		tick := time.NewTicker(patience / checks)
		defer tick.Stop()
		last := p.progress(c)
		for idle := 0; idle < checks; idle++ {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			if now := p.progress(c); now != last {
				last, idle = now, 0
			}
		}
		cancel(fmt.Errorf("%w (%v)", errNoAnswer, patience))
	})
	return ctx, func() {
		close(done)
		watching.Wait()
		cancel(nil)
	}
}

// progress returns a value that changes when the server answers this call, or, while the call waits for room, any call.
func (p *publisher) progress(c *call) [2]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.open > 0 {
		return [2]uint64{1, c.answered}
	}
	return [2]uint64{0, p.answered}
}

// result returns how many records from the front are accepted, and why the next one was refused, if known.
func (p *publisher) result(c *call) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.front == c.failed {
		return c.front, c.err
	}
	return c.front, nil
}
