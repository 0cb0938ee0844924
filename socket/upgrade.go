package socket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"
)

// probe is the exchange by which both sides test a WebSocket before the session moves to it.
const probe = "probe"

var errNoHandover = errors.New("no poll ended in time to move to the WebSocket")

// upgradeLoop tries repeatedly to upgrade a session from polling to WebSocket, until it succeeds or ctx ends.
func (s *session) upgradeLoop(ctx context.Context, p *polling) {
	wait := p.client.cfg.UpgradeAfter
	for {
		sleep(ctx, wait/2+rand.N(wait/2+1)) //nolint:gosec // jitter
		if ctx.Err() != nil {
			return
		}
		err := p.tryUpgrade(ctx)
		if err == nil {
			return
		}
		wait = min(2*wait, max(longestUpgradeWait, wait))
		s.log.Debug().Str("why", s.link.scrub.root(err)).Dur("retry_in", wait).Msg("a WebSocket is still not available")
	}
}

// tryUpgrade opens a WebSocket of the same session and, if it carries frames, upgrades the session. No packet is lost
// or duplicated, since the server is told when no poll waits and no post is running. (Engine.IO protocol, "Upgrade".)
func (p *polling) tryUpgrade(ctx context.Context) (err error) {
	if err := p.client.delayed(); err != nil {
		return err
	}
	limit := p.client.cfg.Dial.HandshakeTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &silenceError{limit})
	defer cancel()
	ws, resp, err := p.client.openWebSocket(ctx, p.http, p.to.transport(WebSocket, url.Values{"sid": {p.sid}}))
	if resp != nil && resp.Body != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil {
		if resp != nil {
			p.client.answered(resp, time.Now())
		}
		return err
	}
	defer func() {
		if err != nil {
			ws.close()
		}
	}()
	if err := ws.write(ctx, string(framePing)+probe); err != nil {
		return err
	}
	in, err := ws.read(ctx, nil)
	if err != nil {
		return err
	}
	if string(in.data) != string(framePong)+probe {
		return fmt.Errorf("the probe was answered with another frame")
	}
	return p.handOver(ctx, ws)
}

// handOver waits until no request is running, for which the server answers the poll, and upgrades the session.
func (p *polling) handOver(ctx context.Context, ws *webSocket) error {
	for _, t := range []ctxLock{p.get, p.post} {
		if t.lock(ctx) != nil {
			return errNoHandover
		}
		defer t.unlock()
	}
	if err := ws.write(ctx, string(frameUpgrade)); err != nil {
		p.end(errors.New(p.to.scrub.root(err))) // the server may have switched
		return err
	}
	p.upgraded.ws.Store(ws)
	if p.life.Err() != nil { // it was closed meanwhile, but possibly not this connection
		ws.close()
	}
	return nil
}
