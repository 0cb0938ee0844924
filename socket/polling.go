package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/socket/internal/payload"
)

var (
	errUpgraded  = errors.New("the session has moved to WebSocket")
	errHungUp    = errors.New("closed")
	errEmptyPoll = errors.New("a poll was answered with nothing")
)

// polling is a [conn] over HTTP long-polling, which may become a WebSocket. A request waits at the server until there
// is something to read; writes are posted. (Engine.IO protocol, "HTTP long-polling".) The server delivers each packet
// only once. So each answer is read to its end, and a broken one ends the session, and its packets are lost.
type polling struct {
	client   *Client
	to       *target
	sid      string
	http     *http.Client // with the cookies by which a load balancer finds the session's server
	all      *opened
	life     context.Context //nolint:containedctx // the session's: it ends requests of several goroutines with contexts of their own
	end      context.CancelCauseFunc
	get      ctxLock     // held by the poller, or by the upgrade to WebSocket
	post     ctxLock     // held by the writer: the server accepts one request at a time
	answer   *pollAnswer // the answer being read
	upgraded *upgraded   // the WebSocket after an upgrade
}

// upgraded is the connection of a session that has left polling.
type upgraded struct {
	ws   atomic.Pointer[webSocket]
	told bool // the reader knows
}

// pollAnswer is an answer to a poll.
type pollAnswer struct {
	body    io.ReadCloser
	decoder *payload.Decoder
	packets int
}

// ctxLock is a fair lock that a context can interrupt.
type ctxLock chan struct{}

func (c ctxLock) lock(ctx context.Context) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c ctxLock) unlock() { <-c }

// dialPolling starts a session by polling. A failed attempt leaves no connection behind.
func (c *Client) dialPolling(ctx context.Context, to *target) (_ *link, err error) {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	jar, err := cookiejar.New(nil)
	if err != nil {
		end(err)
		return nil, err
	}
	p := &polling{
		client: c, to: to, all: new(opened), life: life, end: end, get: make(ctxLock, 1), post: make(ctxLock, 1), upgraded: new(upgraded),
	}
	p.http = c.newHTTPClient(life, p.all)
	p.http.Jar = jar
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	defer context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })()
	silent := &silenceError{c.cfg.Dial.HandshakeTimeout}
	limit := time.AfterFunc(c.cfg.Dial.HandshakeTimeout, func() { end(silent) })
	hs, err := p.open()
	if !limit.Stop() && err == nil {
		err = silent
	}
	if err == nil {
		p.sid = hs.sid
		return &link{p, to.rev, hs, to.scrub}, nil
	}
	if _, known := errors.AsType[*fault](err); known && ctx.Err() == nil {
		return nil, err
	}
	if other, ok := errors.AsType[*revisionError](err); ok {
		return nil, other
	}
	return nil, c.noHandshake(ctx, to, err)
}

// open requests a session and reads its handshake.
func (p *polling) open() (handshake, error) {
	c := p.client
	if err := p.get.lock(p.life); err != nil {
		return handshake{}, err
	}
	resp, err := p.request(p.life, http.MethodGet, "")
	if err != nil {
		return handshake{}, networkFault(p.life, c.url.Host+c.through(p.life), err, p.to.scrub)
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		answer := readAnswer(resp, p.to.scrub)
		held := c.answered(resp, time.Now())
		if answer.status == http.StatusBadRequest {
			return handshake{}, errors.New(answer.text)
		}
		return handshake{}, &fault{kind(resp.Status), fmt.Errorf("connect to %s: %s", c.url.Host+c.through(p.life), answer.text+answer.hint()+held)}
	}
	p.setAnswer(resp)
	if rev := Protocol(p.answer.decoder.Revision()); rev != Auto && rev != p.to.rev {
		return handshake{}, &revisionError{rev}
	}
	in, err := p.next(nil)
	if errors.Is(err, io.EOF) {
		return handshake{}, errEmptyPoll
	}
	if err != nil {
		return handshake{}, p.cause(err)
	}
	return handshakeOf(in)
}

// request sends a request of the session. Its error may show the URL.
func (p *polling) request(ctx context.Context, method, body string) (*http.Response, error) {
	more := url.Values{"t": {strconv.FormatInt(time.Now().UnixNano(), 36)}} // defeats caches
	if p.sid != "" {
		more.Set("sid", p.sid)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.to.transport(Polling, more).String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = p.client.header()
	req.Header.Set("Accept", "*/*")
	if body != "" {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return p.http.Do(req)
}

// setAnswer makes an answer the current one.
func (p *polling) setAnswer(resp *http.Response) {
	p.answer = &pollAnswer{body: resp.Body, decoder: payload.NewDecoder(resp.Body, int(p.to.rev), payload.Limits{
		Read: readLimit, Head: headBytes, Skip: skipLimit,
	})}
}

// read implements conn.
func (p *polling) read(ctx context.Context, heard func()) (incoming, error) {
	for {
		if p.answer == nil {
			if ws := p.upgraded.ws.Load(); ws != nil && p.upgraded.told {
				return ws.read(ctx, heard)
			}
			if err := p.poll(); err != nil {
				return incoming{}, p.cause(err)
			}
		}
		in, err := p.next(heard)
		if err != nil {
			_ = p.answer.body.Close()
		}
		switch {
		case errors.Is(err, io.EOF) && p.answer.packets > 0:
			p.answer = nil
			p.get.unlock()
		case errors.Is(err, io.EOF): // polling again at once would use all the CPU
			return incoming{}, errEmptyPoll
		case err != nil:
			return incoming{}, p.cause(err)
		default:
			return in, nil
		}
	}
}

// next returns the next packet of the current answer.
func (p *polling) next(heard func()) (incoming, error) {
	packet, err := p.answer.decoder.Next(heard)
	if err != nil {
		return incoming{}, err
	}
	p.answer.packets++
	return incoming{packet.Binary, packet.Data, packet.Size}, nil
}

// poll waits for an answer, or returns errUpgraded.
func (p *polling) poll() error {
	if err := p.get.lock(p.life); err != nil {
		return err
	}
	if p.upgraded.ws.Load() != nil {
		p.get.unlock()
		p.upgraded.told = true
		return errUpgraded
	}
	resp, err := p.request(p.life, http.MethodGet, "") //nolint:bodyclose // read closes it
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return p.ended(resp, "poll")
	}
	p.setAnswer(resp)
	return nil
}

// ended reads the answer to a failed request. It returns that the session is over.
func (p *polling) ended(resp *http.Response, what string) error {
	defer func() { _ = resp.Body.Close() }()
	answer := readAnswer(resp, p.to.scrub)
	held := p.client.answered(resp, time.Now())
	if answer.status == http.StatusBadRequest && answer.code != nil {
		return fmt.Errorf("the server ended the session: %s", answer.text)
	}
	return fmt.Errorf("a %s was answered with %s%s", what, answer.text, held)
}

// cause returns why a request failed: why the session ended, if it did.
func (p *polling) cause(err error) error {
	if p.life.Err() != nil {
		return context.Cause(p.life)
	}
	return err
}

// write implements conn.
func (p *polling) write(ctx context.Context, text string) error {
	if ws := p.upgraded.ws.Load(); ws != nil {
		return ws.write(ctx, text)
	}
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errWriteTimeout)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	//nolint:contextcheck // both contexts count
	defer context.AfterFunc(p.life, func() { stop(context.Cause(p.life)) })()
	if err := p.post.lock(ctx); err != nil {
		return err
	}
	defer p.post.unlock()
	if ws := p.upgraded.ws.Load(); ws != nil {
		return ws.write(ctx, text)
	}
	resp, err := p.request(ctx, http.MethodPost, payload.Encode(int(p.to.rev), text))
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && resp.StatusCode != http.StatusOK:
		err = p.ended(resp, "post")
	case err == nil:
		_, _ = io.CopyN(io.Discard, resp.Body, 1024) // "ok"
		_ = resp.Body.Close()
	}
	if err != nil && caller.Err() == nil { // otherwise the close packet is still to be sent
		// The server may or may not have it, and has no other way to report the end of the session.
		p.end(errors.New(p.to.scrub.root(err)))
	}
	return err
}

// ping implements conn: polling has only the protocol's pings.
func (p *polling) ping(ctx context.Context) {
	if ws := p.upgraded.ws.Load(); ws != nil {
		ws.ping(ctx)
	}
}

// close implements conn.
func (p *polling) close() {
	p.end(errHungUp)
	p.all.close()
	if ws := p.upgraded.ws.Load(); ws != nil {
		ws.close()
	}
}
