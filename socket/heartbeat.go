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
	watchEvery     = 5 * time.Second // how soon a suspended machine notices after it wakes
	goodbyeTimeout = time.Second
	joinTimeout    = time.Minute // for the server's authorization, which may call other services
)

var (
	errGoodbye     = errors.New("goodbye not sent in time")
	errJoinTimeout = fmt.Errorf("not authorized within %v, though the server is alive", joinTimeout)
)

// liveness tracks when the server was last heard. Silence counts only while the reader listens: while it waits for room
// in the queue, frames lie unread, which says nothing about the server.
type liveness struct {
	mu     sync.Mutex
	heard  time.Time // any frame
	pinged time.Time // a ping
	isDeaf bool
}

// noteFrame records a frame.
func (l *liveness) noteFrame(now time.Time) {
	l.mu.Lock()
	l.heard = now
	l.mu.Unlock()
}

// notePing records a ping.
func (l *liveness) notePing(now time.Time) {
	l.mu.Lock()
	l.pinged = now
	l.mu.Unlock()
}

// setPaused records whether the reader has stopped listening. Silence restarts when it listens again.
func (l *liveness) setPaused(paused bool) {
	l.mu.Lock()
	l.heard, l.isDeaf = time.Now(), paused
	l.mu.Unlock()
}

// silence returns how long nothing arrived while the reader listened. It uses the wall clock if that is longer, since
// the monotonic clock stops while a machine is suspended.
func (l *liveness) silence(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isDeaf {
		return 0
	}
	return max(now.Sub(l.heard), now.Round(0).Sub(l.heard.Round(0)))
}

// behind reports whether frames arrive or wait, but no ping came for longer than an interval. Then the ping is queued
// behind them.
func (l *liveness) behind(now time.Time, interval, lately time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (l.isDeaf || now.Sub(l.heard) < lately) && now.Sub(l.pinged) > interval
}

// keep sends heartbeats and watches the server until ctx ends or the server is dead. It returns why.
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
		silence := s.liveness.silence(now)
		switch {
		case silence >= interval+timeout:
			return &fault{kindLost, fmt.Errorf("nothing heard for %v: the server or the network is down",
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
		if s.link.rev == EIO4 && s.liveness.behind(now, interval, tick) {
			// The server waits for the answer to a ping that is still unread. It accepts a pong in advance.
			_ = s.link.conn.write(ctx, string(framePong)) // the reader notices a failure too, after it has read the rest
		}
		wait.Reset(sleep)
	}
}

// pinger sends the client's pings: those of revision 3, and WebSocket pings where the server sends the others. So
// something is sent at least every keepalive, and no proxy takes the connection for idle.
type pinger struct {
	link  *link
	every time.Duration // zero: never
	next  time.Time
	busy  atomic.Bool // a WebSocket ping waits for its answer
	work  sync.WaitGroup
}

func newPinger(s *session, now time.Time) *pinger {
	p := &pinger{link: s.link, every: s.keepalive}
	if s.link.rev == EIO4 {
		p.next = now.Add(p.every)
		return p
	}
	p.next = now // at once: the answer shows the revision, however slow authorization is
	if interval := s.link.handshake.pingInterval; p.every == 0 || interval < p.every {
		p.every = interval
	}
	return p
}

// ping sends a ping if it is due. It returns the time until the next one.
func (p *pinger) ping(ctx context.Context, now time.Time) time.Duration {
	if now.Before(p.next) {
		return p.next.Sub(now)
	}
	p.next = now.Add(p.every)
	switch {
	case p.link.rev == EIO3:
		_ = p.link.conn.write(ctx, string(framePing)) // the reader notices a failure too, after it has read the rest
	case p.busy.CompareAndSwap(false, true):
		p.work.Go(func() { // it waits for the answer
			p.link.conn.ping(ctx)
			p.busy.Store(false)
		})
	}
	return p.every
}

// goodbye leaves "/", and closes a polling session, so that the server need not wait for a timeout.
func (s *session) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), goodbyeTimeout, errGoodbye)
	defer cancel()
	_ = s.link.conn.write(ctx, string([]byte{frameMessage, packetDisconnect}))
	if p, ok := s.link.conn.(*polling); ok && p.upgraded.ws.Load() == nil {
		_ = s.link.conn.write(ctx, string(frameClose)) // the server would not notice the end of a request soon
	}
}
