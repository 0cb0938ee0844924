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

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

var (
	errEnded   = errors.New("the server ended the connection")
	errGarbled = errors.New("a text from the server is not UTF-8: it was damaged on its way")
)

// session is the life of one connection, from the handshake to its end.
type session struct {
	link     *link
	queue    *queue
	log      zerolog.Logger
	onJoined func()         // once, when every namespace is joined
	onSpoken func(Protocol) // when the server has shown that it speaks the revision of the link

	pulse  pulse
	joined atomic.Bool

	// The rest belongs to the goroutine that reads.
	engine     *engine
	over       <-chan struct{}
	end        error           // why the session cannot go on
	missing    map[string]bool // namespaces not joined yet
	received   time.Time       // when the present frame came
	partial    *partial
	spoken     bool // the server has shown that it speaks the revision of the link
	complained bool // a packet was dropped, and the log says so
}

// partial is a binary event that waits for its attachments.
type partial struct {
	packet packet
	blobs  [][]byte
	size   int
}

// run reads the connection until it ends, and says why it did. When it returns the connection is closed.
func (s *session) run(ctx context.Context, namespaces []string) error {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	s.over = ctx.Done()
	s.missing = make(map[string]bool, len(namespaces))
	for _, namespace := range namespaces {
		s.missing[namespace] = true
	}
	s.engine = newEngine(s.link.rev, namespaces, func(text string) {
		if err := s.write(ctx, text); err != nil {
			s.fail(lost(err, s.link.scrub))
		}
	}, s.message)
	s.engine.onJoin = func(namespace string) { delete(s.missing, namespace) }
	s.engine.onRefuse = func(namespace, text string) {
		s.fail(&RejectedError{namespace, s.link.scrub.clean(text)})
	}

	s.pulse.beat(time.Now())
	s.pulse.ping(time.Now())
	var keeper sync.WaitGroup
	keeper.Go(func() {
		cancel(s.keep(ctx))
		if outer.Err() != nil {
			s.goodbye(outer)
		}
		_ = s.link.ws.CloseNow()
	})
	cancel(s.read(ctx))
	keeper.Wait()
	if err := s.engine.close(); err != nil {
		s.log.Debug().Err(err).Msg("closing the engine")
	}
	return context.Cause(ctx)
}

// read takes frames until the connection or the session ends. It is ended by closing the connection and not by ctx,
// whose watching would cost more than the reading.
func (s *session) read(ctx context.Context) error {
	if err := s.engine.open(s.link.handshake.sid); err != nil {
		return err
	}
	quiet := context.WithoutCancel(ctx)
	for s.end == nil {
		if len(s.missing) == 0 && !s.joined.Load() {
			s.joined.Store(true)
			s.onJoined()
		}
		typ, msg, err := s.link.ws.Read(quiet)
		if err != nil {
			return lost(err, s.link.scrub)
		}
		s.received = time.Now()
		s.pulse.beat(s.received)
		if typ == websocket.MessageText && !utf8.Valid(msg) { // RFC 6455, section 8.1; else a treat with damaged words would pass
			return &fault{kindLost, errGarbled}
		}
		if err := s.take(ctx, parseFrame(s.link.rev, typ == websocket.MessageBinary, msg)); err != nil {
			return err
		}
	}
	return s.end
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
		s.pulse.ping(s.received)
		if err := s.write(ctx, string(framePong)+string(f.data)); err != nil {
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

// message handles one Socket.IO message, and returns what the engine must know of it.
func (s *session) message(f frame) news {
	if f.binary {
		s.attachment(f.data)
		return news{}
	}
	if s.partial != nil {
		s.drop(errors.New("a binary event without its attachments"))
		s.partial = nil
	}
	p, err := parsePacket(f.data)
	if err != nil {
		s.drop(err)
		return news{}
	}
	switch p.kind {
	case packetConnect:
		return s.connected(p)
	case packetDisconnect:
		s.fail(&fault{kindLost, errEnded})
		return news{kind: p.kind, namespace: p.namespace}
	case packetError:
		return s.refused(p)
	case packetEvent:
		s.event(p.namespace, p.payload, cap(f.data))
	case packetBinaryEvent, packetBinaryAck:
		s.partial = &partial{packet: p, size: len(f.data)}
		s.complete()
	}
	return news{} // an acknowledgement: none was asked for
}

// connected handles a connect packet, which shows the revision: only revision 4 gives a session id to a namespace.
func (s *session) connected(p packet) news {
	n := news{kind: p.kind, namespace: p.namespace, text: s.link.handshake.sid}
	if s.link.rev == EIO3 {
		s.proven()
		return n
	}
	var accepted struct {
		SID string `json:"sid"`
	}
	if json.Unmarshal(p.payload, &accepted) != nil || accepted.SID == "" {
		s.fail(&revisionError{EIO3})
		return news{}
	}
	s.proven()
	n.text = accepted.SID
	return n
}

// refused handles an error packet. After the connection is joined, servers of version 1 and 2 use it for errors that
// end nothing.
func (s *session) refused(p packet) news {
	text := errorText(p.payload)
	if s.link.rev == EIO3 || bytes.HasPrefix(p.payload, []byte("{")) { // revision 4 always sends an object
		s.proven()
	}
	if s.joined.Load() {
		s.drop(fmt.Errorf("the server reports an error: %q", s.link.scrub.clean(text)))
		return news{}
	}
	return news{kind: p.kind, namespace: p.namespace, text: text}
}

// attachment adds a buffer to the binary event that waits for it.
func (s *session) attachment(data []byte) {
	if s.partial == nil {
		s.drop(errors.New("an attachment without its event"))
		return
	}
	s.partial.blobs = append(s.partial.blobs, data)
	if s.partial.size += len(data); s.partial.size > readLimit {
		s.partial.blobs[len(s.partial.blobs)-1] = nil // still to be counted, no longer to be kept
	}
	s.complete()
}

// complete hands a binary event over if all its attachments are there.
func (s *session) complete() {
	whole := s.partial
	if len(whole.blobs) < whole.packet.attachments {
		return
	}
	s.partial = nil
	if whole.packet.kind != packetBinaryEvent {
		return
	}
	if whole.size > readLimit {
		s.drop(fmt.Errorf("a binary event larger than %d bytes", readLimit))
		return
	}
	payload, err := attach(whole.packet.payload, whole.blobs)
	if err != nil {
		s.drop(err)
		return
	}
	s.event(whole.packet.namespace, payload, cap(payload))
}

// event puts an event into the queue. If there is no room, it waits, and so does the server in the end.
func (s *session) event(namespace string, payload []byte, size int) {
	name, args, err := decodeEvent(payload)
	if err != nil {
		s.drop(err)
		return
	}
	if reserved(name) {
		return
	}
	const overhead = 128 // of the structures around the bytes
	it := item{Event{namespace, name, args, s.received}, size + overhead + 24*len(args)}
	if s.queue.offer(it) {
		return
	}
	if s.queue.wait() {
		s.log.Warn().Int("bytes", s.queue.limit).Msg("handler is slow: the buffer is full, the server has to wait")
	}
	s.pulse.deaf(true)
	s.queue.put(s.over, it)
	s.pulse.deaf(false)
	s.queue.waited()
}

// proven notes that the server speaks the revision of the link.
func (s *session) proven() {
	if !s.spoken {
		s.spoken = true
		s.onSpoken(s.link.rev)
	}
}

// drop notes a packet that cannot be used, once in a session where anybody sees it.
func (s *session) drop(why error) {
	level := zerolog.WarnLevel
	if s.complained {
		level = zerolog.DebugLevel
	}
	s.complained = true
	s.log.WithLevel(level).Err(why).Msg("packet dropped")
}

// fail ends the session after the present frame. The first reason stays.
func (s *session) fail(err error) {
	if s.end == nil {
		s.end = err
	}
}

// write sends one frame of text.
func (s *session) write(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errWriteTimeout)
	defer cancel()
	if err := s.link.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}
