package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// maxSessions bounds the open sockets, accepted or not.
const maxSessions = 1000

// Engine.IO and Socket.IO packets, with the names of the protocols (engine.io-protocol revisions 3 and 4,
// socket.io-protocol revisions 4 and 5).
const (
	packetClose   = '1'
	packetPing    = '2'
	packetMessage = '4'
	messageLeave  = '1'
	messageJoin   = '0'
)

// event is the name of the only event that the provider emits.
const event = "realTimeTreat"

// errLeft ends a session whose client has closed it.
var errLeft = errors.New("the client left")

// hub owns every session of the realtime socket.
type hub struct {
	conns    *sync.WaitGroup
	grants   *grants
	interval time.Duration
	timeout  time.Duration
	allow4   bool
	log      zerolog.Logger
	arrived  chan struct{} // signals that a client may have been accepted

	mu       sync.Mutex
	closed   bool
	sessions map[string]*session
	joined   map[*session]struct{} // accepted clients
	opened   int
	let      int
	refused  int
}

// session is the session of one client, over one transport.
type session struct {
	hub      *hub
	id       string
	revision int
	log      zerolog.Logger
	asked    bool // the client has sent a connect packet, which revision 4 requires once

	mu        sync.Mutex // keeps the frames in order
	transport transport
}

// transport sends frames to one client: over a WebSocket, or by polling.
type transport interface {
	send(ctx context.Context, frame string) error
	// cut closes the connection abruptly. It may be called more than once, and while send waits.
	cut()
}

func newHub(conns *sync.WaitGroup, g *grants, cfg Config) *hub {
	return &hub{
		conns: conns, grants: g, interval: cfg.PingInterval, timeout: cfg.PingTimeout, allow4: cfg.AllowEIO4,
		log: cfg.Log, arrived: make(chan struct{}, 1),
		sessions: make(map[string]*session), joined: make(map[*session]struct{}),
	}
}

// serve routes a request by its transport. Like a server of Socket.IO 1.x or 2.x, it ignores the client's revision
// unless revision 4 is allowed.
func (h *hub) serve(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	revision := 3
	if h.allow4 && q.Get("EIO") == "4" {
		revision = 4
	}
	switch transport := q.Get("transport"); {
	case transport == "websocket" && r.Method == http.MethodGet && q.Get("sid") == "":
		h.serveWebSocket(w, r, revision)
	case transport == "polling" && revision == 3:
		h.servePolling(w, r)
	default:
		refuseTransport(w, 0, "Transport unknown")
	}
}

// refuseTransport answers with an error in the format of Engine.IO servers.
func refuseTransport(w http.ResponseWriter, code int, message string) {
	reply(w, http.StatusBadRequest, map[string]any{"code": code, "message": message})
}

// open starts a session with the handshake. In revision 3 the server then joins the client to "/" by itself.
func (h *hub) open(ctx context.Context, l transport, revision int, token string) (*session, error) {
	s := &session{hub: h, id: randomText(), revision: revision, transport: l}
	h.mu.Lock()
	if h.closed || len(h.sessions) == maxSessions {
		h.mu.Unlock()
		return nil, errors.New("open session: the simulator is closed or full")
	}
	h.opened++
	s.log = h.log.With().Int("session", h.opened).Int("revision", revision).Logger()
	h.sessions[s.id] = s
	h.mu.Unlock()

	// No upgrades are offered, so that a polling client keeps polling. It gets the same events.
	handshake := encode(struct {
		ID       string   `json:"sid"`
		Upgrades []string `json:"upgrades"`
		Interval int64    `json:"pingInterval"`
		Timeout  int64    `json:"pingTimeout"`
	}{s.id, []string{}, h.interval.Milliseconds(), h.timeout.Milliseconds()})
	if err := s.send(ctx, "0"+string(handshake)); err != nil {
		return nil, err
	}
	s.log.Debug().Msg("Socket opened")
	if revision == 3 {
		s.join(ctx, token)
	}
	return s, nil
}

// join accepts the client if its socket token is valid, and sends it the result. A token opens one socket. A rejected
// client keeps its connection, as with a failing middleware in Socket.IO 1.x and 2.x: it must close it itself.
func (s *session) join(ctx context.Context, token string) {
	good := s.hub.grants.takeSocket(token)
	// The connect frame must precede any event, and no event may be lost after it. So both happen under the lock.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.admit(s, good)
	frame := "40"
	switch {
	case !good && s.revision == 3:
		frame = `44"Authentication error"`
	case !good:
		frame = `44{"message":"Authentication error"}`
	case s.revision == 4:
		frame = string(slices.Concat([]byte("40"), encode(map[string]string{"sid": randomText()})))
	}
	s.log.Debug().Bool("accepted", good).Msg("Socket token shown")
	if err := s.transport.send(ctx, frame); err != nil {
		s.end(err)
	}
}

func (h *hub) admit(s *session, good bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !good {
		h.refused++
		return
	}
	if h.sessions[s.id] != s { // it was cut meanwhile
		return
	}
	h.let++
	h.joined[s] = struct{}{}
	select {
	case h.arrived <- struct{}{}:
	default:
	}
}

// send writes one frame, after all earlier ones. If that fails, it ends the session.
func (s *session) send(ctx context.Context, frame string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.transport.send(ctx, frame)
	if err != nil {
		s.end(err)
	}
	return err
}

// end removes the session and cuts its connection.
func (s *session) end(why error) {
	h := s.hub
	h.mu.Lock()
	_, open := h.sessions[s.id]
	delete(h.sessions, s.id)
	delete(h.joined, s)
	h.mu.Unlock()
	s.transport.cut()
	if open {
		s.log.Debug().AnErr("why", why).Msg("Socket ended")
	}
}

// receive handles one packet of the client. It ignores packets without a meaning for the provider. An error means that
// the session is over.
func (s *session) receive(ctx context.Context, packet, token string) error {
	if packet == "" {
		return nil
	}
	switch rest := packet[1:]; packet[0] {
	case packetClose:
		return errLeft
	case packetPing: // only clients of revision 3 ping
		return s.send(ctx, "3"+rest)
	case packetMessage:
		return s.message(ctx, rest, token)
	default:
		return nil
	}
}

func (s *session) message(ctx context.Context, message, token string) error {
	if message == "" {
		return nil
	}
	name, _, _ := strings.Cut(message[1:], ",")
	name, _, _ = strings.Cut(name, "?") // client 2.x repeats its query here
	root := !strings.HasPrefix(name, "/") || name == "/"
	switch {
	case message[0] == messageLeave && root:
		s.hub.leave(s)
	case message[0] == messageJoin && !root && s.revision == 3:
		return s.send(ctx, "44"+name+`,"Invalid namespace"`)
	case message[0] == messageJoin && !root:
		return s.send(ctx, "44"+name+`,{"message":"Invalid namespace"}`)
	case message[0] == messageJoin && s.revision == 4 && !s.asked:
		s.asked = true
		s.join(ctx, token)
	}
	return nil
}

func (h *hub) leave(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.joined, s)
}

// broadcast sends the event to all accepted clients, and returns their number.
func (h *hub) broadcast(ctx context.Context, payload json.RawMessage) (n int) {
	h.mu.Lock()
	joined := slices.Collect(maps.Keys(h.joined))
	h.mu.Unlock()
	frame := `42["` + event + `"`
	if len(payload) > 0 {
		frame += "," + string(payload)
	}
	frame += "]"
	for _, s := range joined {
		if s.send(ctx, frame) == nil {
			n++
		}
	}
	return n
}

// drop cuts all connections.
func (h *hub) drop() {
	h.mu.Lock()
	sessions := slices.Collect(maps.Values(h.sessions))
	clear(h.sessions)
	clear(h.joined)
	h.mu.Unlock()
	for _, s := range sessions {
		s.transport.cut()
	}
	h.log.Debug().Int("sockets", len(sessions)).Msg("Sockets dropped")
}

// close cuts all connections and accepts no new ones.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.drop()
}

func (h *hub) find(id string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

func (h *hub) connected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.joined)
}

func (h *hub) counts() (accepted, refused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.let, h.refused
}

// awaitClient waits until a client is connected or ctx ends.
func (h *hub) awaitClient(ctx context.Context) error {
	for h.connected() == 0 {
		select {
		case <-h.arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
