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

// stable is how long a connection has to last to forget the failures before it. Less than a network that comes and goes takes, so that a
// stream does not go without treats for a minute each time; more than a server takes that lets in and throws out.
const stable = 15 * time.Second

// heldSpread is the time over which clients come back that a server asked to stay away until the same moment.
const heldSpread = 2 * time.Second

// newBackoff returns the waits between attempts: full jitter, that is anything from nothing to a ceiling that doubles
// from one second to sixty. The package spreads a wait over twice its middle, hence half of each.
func newBackoff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond),
		backoff.WithMaxInterval(30*time.Second),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(1),
		backoff.WithMaxElapsedTime(0),
	)
}

// reconnect is the work of one Run: connect, and again.
type reconnect struct {
	client   *Client
	events   *queue
	log      zerolog.Logger
	attempts int  // since the last connection
	failed   kind // of the last failure that the log has told
}

// loop returns when ctx ends, with nil, or with a permanent error.
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
		if held, _ := r.client.cfg.Holds.left(r.client.url, time.Now()); held > 0 {
			wait = max(wait, held+rand.N(heldSpread)) //nolint:gosec // not a secret: so that not all come at once
		}
		r.tell(err, up, wait)
		r.enter(State{Phase: Waiting, RetryIn: wait, Err: err})
		sleep(ctx, wait)
	}
	return nil
}

// attempt dials as often as it takes to find the revision, and stays connected as long as it goes. It returns how long
// that was, zero if it was never, and why it ended.
func (r *reconnect) attempt(ctx context.Context) (up time.Duration, err error) {
	c := r.client
	rev := cmp.Or(c.cfg.Protocol, c.known, EIO3)
	detecting := cmp.Or(c.cfg.Protocol, c.known) == Auto
	var refused *handshakeError // by the first dial of a detection
	const most = 3              // enough for 3, 4, and 3 again; then a server that contradicts itself has to wait
	for range most {
		r.enter(State{Phase: Connecting, Protocol: rev})
		up, err = r.connect(ctx, rev)
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
			c.known = Auto // the server is another than it was
			return up, err
		}
	}
	return up, err
}

// connect dials once with the given revision and stays connected until that ends.
func (r *reconnect) connect(ctx context.Context, rev Protocol) (up time.Duration, err error) {
	c := r.client
	r.log.Debug().Stringer("protocol", rev).Int("attempt", r.attempts).Msg("dialling")
	// In a goroutine of its own, for what it takes of the stack is four times what a connection needs from then on.
	var link *link
	var dialling sync.WaitGroup
	dialling.Go(func() { link, err = c.dial(ctx, rev) })
	dialling.Wait()
	if err != nil {
		return 0, err
	}
	var since time.Time
	s := &session{
		link: link, queue: r.events, log: r.log, onSkip: c.cfg.OnSkip, keepalive: max(c.cfg.Keepalive, 0),
		onSpoken: func(spoken Protocol) { c.known = spoken },
		onJoined: func() {
			since = time.Now()
			r.attempts, r.failed = 0, ""
			r.log.Info().Stringer("protocol", rev).Msg("connected")
			r.enter(State{Phase: Connected, Protocol: rev})
		},
	}
	err = s.run(ctx, c.cfg.Namespaces)
	if !since.IsZero() {
		up = max(time.Since(since), 1)
	}
	return up, err
}

// tell logs a failure if it is news.
func (r *reconnect) tell(err error, up, wait time.Duration) {
	if up > 0 {
		r.log.Warn().Err(err).Dur("up", up).Msg("connection lost, connecting again")
		return
	}
	level := zerolog.DebugLevel
	if k := kindOf(err); k != r.failed {
		level, r.failed = zerolog.WarnLevel, k
	}
	r.log.WithLevel(level).Err(err).Int("attempt", r.attempts).Dur("retry_in", wait).Msg("cannot connect, trying on")
}

// enter tells the owner of the Client of a new state.
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
