package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/rs/zerolog"
)

// stable is how long a connection must last to reset the backoff. It is shorter than the period of a flapping network,
// so that treats are not delayed by a minute each time, and longer than a server takes that accepts and then drops
// clients.
const stable = 15 * time.Second

// retrySpread is the period over which clients return that a server had asked to wait until the same time.
const retrySpread = 2 * time.Second

// newBackoff returns the delays between attempts with full jitter: anything from zero to a ceiling that doubles from
// one second to sixty. The package spreads a delay over twice its middle, hence half of each.
func newBackoff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond),
		backoff.WithMaxInterval(30*time.Second),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxElapsedTime(0),
	)
}

// reconnect is the state of one Run.
type reconnect struct {
	client   *Client
	events   *queue
	log      zerolog.Logger
	attempts int  // since the last connection
	failed   kind // kind of the last failure that was logged
}

// loop connects repeatedly. It returns nil when ctx ends, or a permanent error.
func (r *reconnect) loop(ctx context.Context) error {
	waits := newBackoff()
	for ctx.Err() == nil {
		r.attempts++
		up, err := r.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			continue
		case permanent(err):
			return err
		}
		if up >= stable {
			waits.Reset()
		}
		wait := waits.NextBackOff()
		if held, _ := r.client.cfg.Dial.RetryDelays.left(r.client.url, time.Now()); held > 0 {
			wait = max(wait, held+rand.N(retrySpread)) //nolint:gosec // jitter
		}
		r.logFailure(err, up, wait)
		r.enter(State{Phase: Waiting, RetryIn: wait, Err: err})
		sleep(ctx, wait)
	}
	return nil
}

// pollingFallback records that WebSocket is not available.
type pollingFallback struct {
	since time.Time // zero: it is available
	why   error
	told  bool // it was logged
}

// fallbackTime is how long connections start by polling after WebSocket was not available.
const fallbackTime = 10 * time.Minute

// attempt connects by WebSocket, or by polling if that was not available recently, and stays connected. It returns how
// long the connection lasted, zero if there was none, and why it ended.
func (r *reconnect) attempt(ctx context.Context) (up time.Duration, err error) {
	c := r.client
	if d := c.detour; !d.since.IsZero() && time.Since(d.since) < fallbackTime {
		if up, err = r.detect(ctx, Polling); up == 0 && kindOf(err) != kindRejected {
			c.detour = pollingFallback{}
		}
		return up, err
	}
	c.detour = pollingFallback{}
	up, err = r.detect(ctx, WebSocket)
	if up > 0 || ctx.Err() != nil || !mayPoll(err, r.attempts > 1 || c.cfg.Dial.PollAtOnce) {
		return up, err
	}
	blocked := err
	c.detour = pollingFallback{since: time.Now(), why: blocked}
	up, err = r.detect(ctx, Polling)
	if up > 0 || ctx.Err() != nil || permanent(err) || kindOf(err) == kindRejected {
		return up, err
	}
	c.detour = pollingFallback{}
	return 0, &fault{kindOf(blocked), fmt.Errorf("%w; nor by HTTP long-polling: %w", blocked, err)}
}

// detect dials until it finds the revision, and stays connected. It returns how long the connection lasted, zero if
// there was none, and why it ended.
func (r *reconnect) detect(ctx context.Context, via Transport) (up time.Duration, err error) {
	c := r.client
	rev := cmp.Or(c.cfg.Protocol, c.known, EIO3)
	detecting := cmp.Or(c.cfg.Protocol, c.known) == Auto
	var refused *handshakeError // by the first dial of a detection
	const most = 3              // enough for 3, 4, and 3 again; a server that contradicts itself must wait
	for range most {
		r.enter(State{Phase: Connecting, Transport: via, Protocol: rev})
		up, err = r.connect(ctx, rev, via)
		if ctx.Err() != nil || c.cfg.Protocol != Auto {
			return up, err
		}
		if other, ok := errors.AsType[*revisionError](err); ok {
			c.known, rev, detecting = other.spoken, other.spoken, false
			continue
		}
		silent, ok := errors.AsType[*handshakeError](err)
		switch {
		case !ok:
			return up, err
		case detecting && rev == EIO3:
			refused, rev = silent, EIO4
		case refused != nil:
			return up, &fault{kindHandshake, fmt.Errorf("connect to %s: %w; %w; is it a Socket.IO server?",
				c.url.Host, refused, silent)}
		default:
			c.known = Auto // the server has changed: try both revisions before polling
			silent.blocked = false
			return up, err
		}
	}
	return up, err
}

// connect dials once with the given revision and stays connected until that ends.
func (r *reconnect) connect(ctx context.Context, rev Protocol, via Transport) (up time.Duration, err error) {
	c := r.client
	r.log.Debug().Stringer("protocol", rev).Str("transport", string(via)).Int("attempt", r.attempts).Msg("dialling")
	// Dialing needs four times the stack of a connection. A goroutine of its own frees it afterwards.
	var link *link
	var dialling sync.WaitGroup
	dialling.Go(func() { link, err = c.dial(ctx, rev, via) })
	dialling.Wait()
	if err != nil {
		return 0, err
	}
	var since time.Time
	s := &session{link: link, queue: r.events, log: r.log, keepalive: max(c.cfg.Keepalive, 0)}
	s.on = hooks{
		skip:   c.cfg.OnSkip,
		spoken: func(spoken Protocol) { c.known = spoken },
		joined: func() {
			since = time.Now()
			r.connected(rev, via)
		},
		upgrade: func() {
			c.detour = pollingFallback{}
			r.log.Info().Str("transport", string(WebSocket)).Msg("WebSocket is available again: the connection uses it from now on")
			r.enter(State{Phase: Connected, Transport: WebSocket, Protocol: rev, Upgraded: true})
		},
	}
	err = s.run(ctx, c.cfg.Namespaces)
	if !since.IsZero() {
		up = max(time.Since(since), 1)
	}
	return up, err
}

// connected records that the server has accepted the connection.
func (r *reconnect) connected(rev Protocol, via Transport) {
	r.attempts, r.failed = 0, ""
	state := State{Phase: Connected, Transport: via, Protocol: rev}
	if via == Polling {
		state.Err = r.client.detour.why
	}
	if via == Polling && !r.client.detour.told {
		r.client.detour.told = true
		r.log.Warn().AnErr("why", state.Err).Msg("WebSocket is not available: the connection uses HTTP long-polling")
	}
	r.log.Info().Stringer("protocol", rev).Str("transport", string(via)).Msg("connected")
	r.enter(state)
}

// logFailure logs a failure if it is new.
func (r *reconnect) logFailure(err error, up, wait time.Duration) {
	if up > 0 {
		r.log.Warn().Err(err).Dur("up", up).Msg("connection lost; reconnecting")
		return
	}
	level := zerolog.DebugLevel
	if k := kindOf(err); k != r.failed {
		level, r.failed = zerolog.WarnLevel, k
	}
	r.log.WithLevel(level).Err(err).Int("attempt", r.attempts).Dur("retry_in", wait).Msg("cannot connect; trying again")
}

// enter reports a new state to OnState.
func (r *reconnect) enter(s State) {
	c := r.client
	if c.cfg.OnState == nil {
		return
	}
	s.Since = time.Now()
	s.Attempt = r.attempts
	s.Protocol = cmp.Or(s.Protocol, c.cfg.Protocol, c.known)
	c.cfg.OnState(s)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
