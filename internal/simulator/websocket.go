package simulator

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// writeTimeout is how long one client may hold up an event before it is cut.
const writeTimeout = 5 * time.Second

// The reasons for which the simulator itself gives a client up.
var (
	errSilent = errors.New("the client sent no heartbeat")
	errStuck  = errors.New("the client did not read for the write timeout")
)

// serveWebSocket serves one client for as long as it lives.
func (h *hub) serveWebSocket(w http.ResponseWriter, r *http.Request, revision int) {
	h.conns.Add(1) // Accept takes the connection out of net/http's hands.
	defer h.conns.Done()
	// The page that connects is an overlay, from any origin; what lets it in is its token.
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

// read waits for the next packet for as long as a client may be silent. A binary message is an empty packet: the
// provider's clients send none.
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

// ping sends the heartbeat of revision 4, whose answer [hub.read] awaits.
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

// wire is a link over a WebSocket.
type wire struct{ conn *websocket.Conn }

func (l wire) send(ctx context.Context, frame string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeTimeout, errStuck)
	defer cancel()
	err := l.conn.Write(ctx, websocket.MessageText, []byte(frame))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l wire) cut() { _ = l.conn.CloseNow() }
