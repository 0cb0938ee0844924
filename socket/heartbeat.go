package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	watchEvery     = 5 * time.Second // how long a suspended machine may take to notice it, once awake
	goodbyeTimeout = time.Second
	joinTimeout    = time.Minute // for the server's authorization, which may ask others
)

var (
	errGoodbye     = errors.New("goodbye not sent in time")
	errJoinTimeout = fmt.Errorf("not authorized within %v, though the server is alive", joinTimeout)
)

// pulse is when the server was last heard. Silence counts only while somebody listens: when the reader waits for room
// in the queue, what the server sends lies unread, and says nothing about the server.
type pulse struct {
	mu     sync.Mutex
	heard  time.Time // any frame
	pinged time.Time // a ping
	isDeaf bool
}

// beat notes that a frame came.
func (p *pulse) beat(now time.Time) {
	p.mu.Lock()
	p.heard = now
	p.mu.Unlock()
}

// ping notes that a ping came.
func (p *pulse) ping(now time.Time) {
	p.mu.Lock()
	p.pinged = now
	p.mu.Unlock()
}

// deaf notes whether the reader has stopped listening. Silence begins anew when it listens again.
func (p *pulse) deaf(deaf bool) {
	p.mu.Lock()
	p.heard, p.isDeaf = time.Now(), deaf
	p.mu.Unlock()
}

// silence returns how long nothing came although somebody listened. It goes by the wall clock if that says more: the
// monotonic clock stands still while a machine is suspended.
func (p *pulse) silence(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isDeaf {
		return 0
	}
	return max(now.Sub(p.heard), now.Round(0).Sub(p.heard.Round(0)))
}

// behind reports whether frames come or wait, and yet no ping did for longer than an interval: then it lies further
// back among them.
func (p *pulse) behind(now time.Time, interval, lately time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return (p.isDeaf || now.Sub(p.heard) < lately) && now.Sub(p.pinged) > interval
}

// keep beats and listens until ctx ends or the server is dead, and says why.
func (s *session) keep(ctx context.Context) error {
	interval, timeout := s.link.handshake.pingInterval, s.link.handshake.pingTimeout
	tick := min(watchEvery, interval, timeout/2)
	born := time.Now()
	p := newPinger(s, born)
	ctx, cancel := context.WithCancel(ctx)
	defer p.work.Wait()
	defer cancel()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wait.C:
		}
		now := time.Now()
		silence := s.pulse.silence(now)
		switch {
		case silence >= interval+timeout:
			return &fault{kindLost, fmt.Errorf("nothing heard for %v: the server or the way to it is dead",
				silence.Round(time.Millisecond))}
		case !s.joined.Load() && now.Sub(born) >= joinTimeout:
			return &fault{kindTimeout, errJoinTimeout}
		}
		if s.queue.calm(now) {
			s.log.Info().Msg("handler has caught up: the server no longer has to wait")
		}
		sleep := min(tick, interval+timeout-silence)
		if p.every > 0 {
			sleep = min(sleep, p.ping(ctx, now))
		}
		if s.link.rev == EIO4 && s.pulse.behind(now, interval, tick) {
			// The server waits for the answer to a ping that we have not come to. It takes a pong in advance.
			_ = s.link.conn.write(ctx, string(framePong)) // that it fails, the reader learns too, after it has read what is left
		}
		wait.Reset(sleep)
	}
}

// pinger sends our own pings: those of revision 3, and where the server sends them, pings of the WebSocket beneath, so that
// at least every keepalive something of ours goes over the connection and no proxy takes it for idle.
type pinger struct {
	link  *link
	every time.Duration // zero: never
	next  time.Time
	busy  atomic.Bool // a ping of the WebSocket waits for its answer
	work  sync.WaitGroup
}

func newPinger(s *session, now time.Time) *pinger {
	p := &pinger{link: s.link, every: s.keepalive}
	if s.link.rev == EIO4 {
		p.next = now.Add(p.every)
		return p
	}
	p.next = now // at once: its answer shows the revision however slow authorization is
	if interval := s.link.handshake.pingInterval; p.every == 0 || interval < p.every {
		p.every = interval
	}
	return p
}

// ping sends one if it is time to, and returns in how long it is again.
func (p *pinger) ping(ctx context.Context, now time.Time) time.Duration {
	if now.Before(p.next) {
		return p.next.Sub(now)
	}
	p.next = now.Add(p.every)
	switch {
	case p.link.rev == EIO3:
		_ = p.link.conn.write(ctx, string(framePing)) // that it fails, the reader learns too, after it has read what is left
	case p.busy.CompareAndSwap(false, true):
		p.work.Go(func() { // it waits for the answer
			p.link.conn.ping(ctx)
			p.busy.Store(false)
		})
	}
	return p.every
}

// goodbye leaves "/", and ends a session by polling, so that the server need not guess.
func (s *session) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), goodbyeTimeout, errGoodbye)
	defer cancel()
	_ = s.link.conn.write(ctx, string([]byte{frameMessage, packetDisconnect}))
	if p, ok := s.link.conn.(*polling); ok && p.upgraded.ws.Load() == nil {
		_ = s.link.conn.write(ctx, string(frameClose)) // the end of a request would not tell the server for long
	}
}
