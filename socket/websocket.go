package socket

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/coder/websocket"
)

const (
	writeTimeout = 10 * time.Second
	readLimit    = 1 << 20  // bytes of a message that is read
	skipLimit    = 16 << 20 // bytes of a message that is skipped; a larger one ends the connection
	longMessage  = 64 << 10 // bytes of a message that takes a while to arrive
	headBytes    = 1 << 10  // bytes that are kept of a skipped message, to identify it
)

var errWriteTimeout = fmt.Errorf("write took longer than %v", writeTimeout)

// webSocket is an open WebSocket.
type webSocket struct{ conn *websocket.Conn }

func newWebSocket(conn *websocket.Conn) *webSocket {
	conn.SetReadLimit(skipLimit)
	return &webSocket{conn}
}

// incoming is one message.
type incoming struct {
	binary bool
	data   []byte // complete, or the first headBytes bytes if it is larger than readLimit
	size   int    // in bytes
}

func (in *incoming) skipped() bool { return in.size > len(in.data) }

// read reads a message, or skips most of it. While one arrives, it calls heard, which may be nil.
func (w *webSocket) read(ctx context.Context, heard func()) (incoming, error) {
	typ, r, err := w.conn.Reader(ctx)
	if err != nil {
		return incoming{}, err
	}
	in := incoming{binary: typ == websocket.MessageBinary, data: make([]byte, 0, 512)}
	for len(in.data) <= readLimit {
		if len(in.data) == cap(in.data) {
			in.data = append(in.data, 0)[:len(in.data)]
		}
		n, err := r.Read(in.data[len(in.data):cap(in.data)])
		in.data = in.data[:len(in.data)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return incoming{}, err
		}
		if heard != nil && len(in.data) > longMessage {
			heard()
		}
	}
	in.size = len(in.data)
	if in.size <= readLimit {
		return in, nil
	}
	room := in.data
	in.data = append([]byte(nil), room[:headBytes]...)
	for {
		n, err := r.Read(room)
		in.size += n
		if err == io.EOF {
			return in, nil
		}
		if err != nil {
			return incoming{}, err
		}
		if heard != nil {
			heard()
		}
	}
}

// write sends one text frame.
func (w *webSocket) write(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errWriteTimeout)
	defer cancel()
	if err := w.conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// ping sends a WebSocket ping and waits for the answer, up to writeTimeout. It produces traffic; it does not test the
// server, since a proxy may answer.
func (w *webSocket) ping(ctx context.Context) {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errWriteTimeout)
	defer cancel()
	_ = w.conn.Ping(ctx)
}

func (w *webSocket) close() { _ = w.conn.CloseNow() }
