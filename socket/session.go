package socket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"
)

var (
	errEnded   = errors.New("the server ended the connection")
	errGarbled = errors.New("a text from the server is not UTF-8: it was damaged in transit")
)

// session is one connection from the handshake to its end.
type session struct {
	link      *link
	queue     *queue
	log       zerolog.Logger
	keepalive time.Duration // see [Config.Keepalive]; zero: none
	on        hooks

	liveness liveness
	joined   atomic.Bool

	reading
}

// reading is the part of a session that the reading goroutine owns.
type reading struct {
	engine   *engine
	over     <-chan struct{}
	end      error           // why the session cannot continue
	missing  map[string]bool // namespaces not joined yet
	received time.Time       // arrival of the current frame
	partial  *partial
	spoken   bool // the server has shown that it speaks the link's revision
	logged   logState
}

// hooks are called by the reading goroutine.
type hooks struct {
	joined  func()         // once, when every namespace is joined
	spoken  func(Protocol) // when the server has shown that it speaks the link's revision
	skip    func()         // for each skipped message; may be nil
	upgrade func()         // when polling has become a WebSocket
}

// logState records what was logged in a session.
type logState struct {
	dropped     bool   // a dropped packet was logged
	skips       int    // number of skipped messages
	skippedLast string // event of the last one
}

// run reads the connection until it ends, and returns why. The connection is closed afterwards.
func (s *session) run(ctx context.Context, namespaces []string) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	s.over = ctx.Done()
	s.missing = make(map[string]bool, len(namespaces))
	for _, namespace := range namespaces {
		s.missing[namespace] = true
	}
	s.engine = newEngine(s.link.rev, namespaces, func(text string) {
		if err := s.link.conn.write(ctx, text); err != nil {
			s.fail(lost(err, s.link.scrub))
		}
	}, s.message)
	s.engine.onJoin = func(namespace string) { delete(s.missing, namespace) }
	s.engine.onRefuse = func(namespace, text string) {
		s.fail(&RejectedError{namespace, s.link.scrub.clean(text)})
	}

	s.liveness.noteFrame(time.Now())
	s.liveness.notePing(time.Now())
	var keeper sync.WaitGroup
	keeper.Go(func() {
		cancel(s.keep(ctx))
		if outer.Err() != nil {
			s.goodbye(outer)
		}
		s.link.conn.close()
	})
	if p, ok := s.link.conn.(*polling); ok && s.link.handshake.upgrades {
		keeper.Go(func() { s.upgradeLoop(ctx, p) })
	}
	cancel(s.read(ctx))
	keeper.Wait()
	if err := s.engine.close(); err != nil {
		s.log.Debug().Err(err).Msg("closing the engine")
	}
	return context.Cause(ctx)
}

// read reads frames until the connection or the session ends. Closing the connection ends it, not ctx, which would cost
// more to watch than the reading itself.
func (s *session) read(ctx context.Context) error {
	if err := s.engine.open(s.link.handshake.sid); err != nil {
		return err
	}
	quiet := context.WithoutCancel(ctx)
	for s.end == nil {
		if len(s.missing) == 0 && !s.joined.Load() {
			s.joined.Store(true)
			s.on.joined()
		}
		in, err := s.link.conn.read(quiet, s.heard)
		if errors.Is(err, errUpgraded) {
			s.on.upgrade()
			continue
		}
		if err != nil {
			return lost(err, s.link.scrub)
		}
		s.heard()
		if in.skipped() {
			s.skip(&in)
			continue
		}
		if !in.binary && !utf8.Valid(in.data) { // RFC 6455, section 8.1; otherwise damaged text would pass
			return &fault{kindLost, errGarbled}
		}
		if err := s.take(ctx, parseFrame(s.link.rev, in.binary, in.data)); err != nil {
			return err
		}
	}
	return s.end
}

// heard records that something arrived.
func (s *session) heard() {
	s.received = time.Now()
	s.liveness.noteFrame(s.received)
}

// take handles one frame.
func (s *session) take(ctx context.Context, f frame) error {
	switch f.kind {
	case frameClose:
		return &fault{kindLost, errEnded}
	case framePing:
		switch {
		case s.link.rev == EIO3 && s.spoken:
			return nil
		case s.link.rev == EIO3: // only servers of revision 4 ping
			return &revisionError{EIO4}
		}
		s.liveness.notePing(s.received)
		if err := s.link.conn.write(ctx, string(framePong)+string(f.data)); err != nil {
			return lost(err, s.link.scrub)
		}
	case framePong:
		if s.link.rev == EIO3 { // only servers of revision 3 answer a ping
			s.proven()
		}
	case frameMessage:
		return s.engine.receive(f)
	}
	return nil
}

// message handles one Socket.IO message. It returns what the engine must know of it.
func (s *session) message(f frame) notice {
	if f.binary {
		s.attachment(f.data, len(f.data))
		return notice{}
	}
	if s.partial != nil {
		s.drop(errors.New("a binary event without its attachments"))
		s.partial = nil
	}
	p, err := parsePacket(f.data)
	if err != nil {
		s.drop(err)
		return notice{}
	}
	switch p.kind {
	case packetConnect:
		return s.connected(p)
	case packetDisconnect:
		s.fail(&fault{kindLost, errEnded})
		return notice{kind: p.kind, namespace: p.namespace}
	case packetError:
		return s.refused(p)
	case packetEvent:
		s.event(&p, cap(f.data))
	case packetBinaryEvent, packetBinaryAck:
		s.partial = &partial{packet: p, size: len(f.data)}
		s.complete()
	}
	return notice{} // acknowledgements are never requested
}

// connected handles a connect packet. It shows the revision: only revision 4 gives namespaces session ids.
func (s *session) connected(p packet) notice {
	n := notice{kind: p.kind, namespace: p.namespace, text: s.link.handshake.sid}
	if s.link.rev == EIO3 {
		s.proven()
		return n
	}
	var accepted struct {
		SID json.RawMessage `json:"sid"`
	}
	sid, ok := "", json.Unmarshal(p.payload, &accepted) == nil
	if ok {
		sid, ok = scalar(accepted.SID)
	}
	if !ok || sid == "" {
		s.fail(&revisionError{EIO3})
		return notice{}
	}
	s.proven()
	n.text = sid
	return n
}

// refused handles an error packet. After joining, servers of versions 1 and 2 also use it for errors that do not end
// the session.
func (s *session) refused(p packet) notice {
	text := errorText(p.payload)
	if s.link.rev == EIO3 || bytes.HasPrefix(p.payload, []byte("{")) { // revision 4 always sends an object
		s.proven()
	}
	if s.joined.Load() {
		s.drop(fmt.Errorf("the server reports an error: %q", s.link.scrub.clean(text)))
		return notice{}
	}
	return notice{kind: p.kind, namespace: p.namespace, text: text}
}

// event queues an event. If the queue is full, it waits, and so does the server eventually. It sends a requested
// acknowledgement before the event is handled, since a server that waits long may send the event again.
func (s *session) event(p *packet, size int) {
	name, args, err := decodeEvent(p.payload)
	if err != nil {
		s.drop(err)
		return
	}
	if reserved(name) {
		return
	}
	const overhead = 128 // of the data structures around the bytes
	it := item{Event{p.namespace, name, args, s.received}, size + overhead + 24*len(args)}
	s.enqueue(it)
	if p.ack != "" {
		s.engine.transport.write(p.acknowledgement())
	}
}

func (s *session) enqueue(it item) {
	if s.queue.offer(it) {
		return
	}
	if s.queue.wait() {
		s.log.Warn().Int("bytes", s.queue.limit).Msg("handler is slow: the buffer is full, the server has to wait")
	}
	s.liveness.setPaused(true)
	s.queue.put(s.over, it)
	s.liveness.setPaused(false)
	s.queue.waited()
}

// proven records that the server speaks the link's revision.
func (s *session) proven() {
	if !s.spoken {
		s.spoken = true
		s.on.spoken(s.link.rev)
	}
}

// drop handles an unusable packet. It is logged visibly once per session.
func (s *session) drop(why error) {
	level := zerolog.WarnLevel
	if s.logged.dropped {
		level = zerolog.DebugLevel
	}
	s.logged.dropped = true
	s.log.WithLevel(level).Err(why).Msg("packet dropped")
}

// fail ends the session after the current frame. The first reason is kept.
func (s *session) fail(err error) {
	if s.end == nil {
		s.end = err
	}
}
