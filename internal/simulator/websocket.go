package simulator

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// writeTimeout is how long one client may delay an event before it is disconnected.
const writeTimeout = 5 * time.Second

// Why the simulator disconnects a client.
var (
	errSilent = errors.New("the client sent no heartbeat")
	errStuck  = errors.New("the client did not read for the write timeout")
)

// serveWebSocket serves one client until it disconnects.
func (h *hub) serveWebSocket(w http.ResponseWriter, r *http.Request, revision int) {
	h.conns.Add(1) // net/http does not track a hijacked connection
	defer h.conns.Done()
	// Overlays connect from pages of any origin. The token authorizes them.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		h.log.Debug().Err(err).Msg("WebSocket refused")
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxBody)

	ctx, cancel := context.WithCancel(r.Context())
	token := r.URL.Query().Get("token")
	s, err := h.open(ctx, wire{conn}, revision, token)
	if err != nil {
		cancel()
		return
	}
	var pings sync.WaitGroup
	defer pings.Wait()
	defer cancel()
	if revision == 4 {
		pings.Go(func() { s.ping(ctx) })
	}
	for {
		packet, err := h.read(ctx, conn)
		if err == nil {
			err = s.receive(ctx, packet, token)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// read waits for the next packet, as long as a client may be silent. It returns a binary message as an empty packet,
// since the provider's clients send none.
func (h *hub) read(ctx context.Context, conn *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.interval+h.timeout, errSilent)
	defer cancel()
	kind, packet, err := conn.Read(ctx)
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if kind != websocket.MessageText {
		return "", err
	}
	return string(packet), err
}

// ping sends the heartbeats of revision 4. [hub.read] notices if the client does not answer.
func (s *session) ping(ctx context.Context) {
	tick := time.NewTicker(s.hub.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.send(ctx, string(packetPing)) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// wire is a transport over a WebSocket.
type wire struct{ conn *websocket.Conn }

func (w wire) send(ctx context.Context, frame string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errStuck)
	defer cancel()
	err := w.conn.Write(ctx, websocket.MessageText, []byte(frame))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (w wire) cut() { _ = w.conn.CloseNow() }
