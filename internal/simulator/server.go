// Package simulator simulates TreatStream for development and tests: OAuth2 with a rotating refresh token, the socket
// token, the history of thirty days, and the realtime socket, on one loopback listener. It follows the provider's public
// documentation and the public code that integrates with it. Where the provider's behavior is not known, such as the
// text of errors or the format of the history, it does the simplest thing.
//
// It shares no code with relay's side of the protocol (auth, socket, pipeline), so that the two share no mistakes. It
// approves every login: never expose it to a network.
//
// Start reading at [Start] and [Config]. The file oauth.go has the HTTP endpoints, grants.go the tokens, socket.go the
// sessions with websocket.go and polling.go as their transports, and emission.go the flow of treats.
//
// # Why it has its own Socket.IO server
//
// The provider's realtime server is Socket.IO 1.x or 2.x, which use Engine.IO protocol 3. The Go server of the same
// family as relay's client (zishang520/socket.io v2 with AllowEIO3) accepts such clients. But the provider's own sample
// program, the browser client 1.7.2, which starts by polling, received none of 600 events with non-ASCII text from it:
// protocol 3 has two incompatible encodings of such text in a polling response. relay needs little of a server, so this
// package implements it over coder/websocket. That server also reports who received an event, cuts connections abruptly
// on request, and leaves no goroutine behind.
package simulator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// The defaults of [Config].
const (
	DefaultClientID     = "relay-simulator"
	DefaultClientSecret = "simulated-client-secret"
	DefaultReceiver     = "DemoStreamer"
)

// Lifetimes. The provider documents those of the access and the refresh token, and "few minutes" for a code. It does
// not document that of the socket token.
const (
	accessLife  = 30 * 24 * time.Hour
	refreshLife = 180 * 24 * time.Hour
	codeLife    = 5 * time.Minute
	socketLife  = time.Minute
)

// errClosed is the cause of the end of everything that a simulator runs.
var errClosed = errors.New("simulator closed")

// Config configures a [Server]. The zero value is a service on a free loopback port that emits nothing by itself and has
// no faults.
type Config struct {
	// Addr is the TCP address to listen on. Empty: 127.0.0.1 and a free port.
	Addr string

	// Rate is the mean number of generated treats per second, with random arrivals (Poisson). 0: none.
	Rate float64
	// Seed determines treats, arrivals and faults: the same seed gives the same ones in the same order, except for
	// dates. 0: a random seed, see [Server.Seed].
	Seed uint64
	// HoldWhileAway pauses the emission while no client is connected. Otherwise such treats are in the history only, as
	// with the real service, which queues nothing.
	HoldWhileAway bool

	// Drop, Dup, Malformed and Odd apply to the treats emitted at Rate, not to those of [Server.Emit].

	// Drop is the probability that all connections are cut right after a treat.
	Drop float64
	// Dup is the probability that a viewer sends an identical treat again within the same second. Both are real treats.
	Dup float64
	// Malformed is the probability of an additional payload before a treat that cannot be a treat.
	Malformed float64
	// Odd is the probability that a treat has an unusual form that a tolerant reader understands: a number instead of a
	// string, unknown keys, a null message, an array around the object.
	Odd float64
	// ExpireToken is the lifetime of an access token, announced in whole seconds (at least 1). 0: 30 days.
	ExpireToken time.Duration

	// ClientID and ClientSecret are the credentials of the registered client. Empty: the defaults.
	ClientID, ClientSecret string
	// Receiver is the streamer who receives all treats. Empty: the default.
	Receiver string
	// Consent shows a page with Allow and Deny instead of approving a login at once.
	Consent bool

	// PingInterval and PingTimeout are announced in the socket's handshake. 0: 25 s and 5 s. A client that is silent
	// for the sum of both is disconnected.
	PingInterval, PingTimeout time.Duration
	// AllowEIO4 also accepts Engine.IO protocol 4 (Socket.IO 3 and 4), over WebSocket only. Otherwise such clients get
	// a server of Socket.IO 1.x or 2.x, as at the real service.
	AllowEIO4 bool

	// Log gets debug messages about the protocol. They contain no tokens.
	Log zerolog.Logger
}

// Server is a running simulator. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	url     string
	grants  *grants
	history history
	hub     *hub
	emitMu  sync.Mutex // makes history and connections get treats in the same order
	closed  atomic.Bool
	counts  struct {
		authorize, token, refresh, socketToken, history atomic.Int64
	}

	stop  context.CancelCauseFunc
	tasks sync.WaitGroup // the goroutines of Start
	conns sync.WaitGroup // network connections, and handlers that outlive theirs
	fault error          // of the listener; written by a task, read after tasks.Wait
}

// Stats counts the requests since the server started, whatever the answer was.
type Stats struct {
	Authorize, Token, Refresh, SocketToken, History int
	// Connections counts the accepted sockets, Refused those with an invalid token.
	Connections, Refused int
}

// Endpoints are the URLs of a server, in the form of a client's configuration.
type Endpoints struct {
	Authorize, Token, Refresh, SocketToken string
	// History takes the access token as an additional path segment or as the query parameter access_token.
	History string
	// Socket is the URL for a Socket.IO client, without /socket.io/ and ?token=.
	Socket string
}

// Start starts a server. It runs until ctx ends or [Server.Close] is called. Call Close in both cases: it waits until
// all goroutines have ended.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := newServer(cfg)
	if err != nil {
		return nil, err
	}
	addr := cmp.Or(cfg.Addr, "127.0.0.1:0")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen simulator: %w; free the address or choose another", err)
	}
	s.url = "http://" + reachable(listener.Addr())

	ctx, s.stop = context.WithCancelCause(ctx)
	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState:         s.track,
		ErrorLog:          slog.NewLogLogger(zerolog.NewSlogHandler(cfg.Log), slog.LevelDebug),
	}
	s.tasks.Go(func() {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.fault = fmt.Errorf("serve simulator on %s: %w", listener.Addr(), err)
			s.stop(s.fault)
		}
	})
	s.tasks.Go(func() {
		<-ctx.Done()
		s.closed.Store(true)
		_ = web.Close() // an error of closing the listener does not matter
		s.hub.close()
	})
	if cfg.Rate > 0 {
		s.tasks.Go(func() { s.emitAll(ctx) })
	}
	return s, nil
}

// newServer checks cfg, sets its defaults and makes a server that does not listen yet.
func newServer(cfg Config) (*Server, error) {
	for _, p := range []struct {
		name  string
		value float64
	}{{"drop", cfg.Drop}, {"dup", cfg.Dup}, {"malformed", cfg.Malformed}, {"odd", cfg.Odd}} {
		if !(p.value >= 0 && p.value <= 1) {
			return nil, fmt.Errorf("start simulator: %s is %v; want a probability from 0 to 1", p.name, p.value)
		}
	}
	if !(cfg.Rate >= 0) || math.IsInf(cfg.Rate, 1) {
		return nil, fmt.Errorf("start simulator: rate is %v; want treats per second, 0 or more", cfg.Rate)
	}
	if min(cfg.ExpireToken, cfg.PingInterval, cfg.PingTimeout) < 0 {
		return nil, errors.New("start simulator: a duration is negative; use 0 for the default")
	}
	if cfg.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		cfg.Seed = binary.LittleEndian.Uint64(b[:]) | 1
	}
	cfg.ClientID = cmp.Or(cfg.ClientID, DefaultClientID)
	cfg.ClientSecret = cmp.Or(cfg.ClientSecret, DefaultClientSecret)
	cfg.Receiver = cmp.Or(cfg.Receiver, DefaultReceiver)
	cfg.PingInterval = cmp.Or(cfg.PingInterval, 25*time.Second)
	cfg.PingTimeout = cmp.Or(cfg.PingTimeout, 5*time.Second)
	client := registration{cfg.ClientID, secret.New(cfg.ClientSecret)}
	cfg.ClientSecret = ""
	s := &Server{cfg: cfg, grants: newGrants(client, cmp.Or(cfg.ExpireToken, accessLife))}
	s.hub = newHub(&s.conns, s.grants, cfg)
	return s, nil
}

// handler returns the routes of all endpoints.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAuthorize, s.counted(&s.counts.authorize, s.authorize))
	mux.HandleFunc("POST "+pathAuthorize, s.decide)
	mux.HandleFunc("POST "+pathToken, s.counted(&s.counts.token, s.exchange))
	mux.HandleFunc("POST "+pathRefresh, s.counted(&s.counts.refresh, s.refresh))
	mux.HandleFunc("POST "+pathSocketToken, s.counted(&s.counts.socketToken, s.socketToken))
	mux.HandleFunc("GET "+pathHistory, s.counted(&s.counts.history, s.monthTreats))
	mux.HandleFunc("GET "+pathHistory+"/{access_token}", s.counted(&s.counts.history, s.monthTreats))
	mux.HandleFunc(pathSocket, s.hub.serve)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// counted counts and logs a request. It logs the pattern only, since path and query may contain a token.
func (s *Server) counted(n *atomic.Int64, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		s.cfg.Log.Debug().Str("endpoint", r.Pattern).Msg("Request")
		next(w, r)
	}
}

// track counts the connections of net/http, so that Close can wait for its goroutines. The state becomes New before
// Serve can return, and a handler counts itself before it hijacks a connection.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// URL returns the server's base URL, such as http://127.0.0.1:43210, without a final slash.
func (s *Server) URL() string { return s.url }

// Seed returns the seed in use, also if the configuration has none.
func (s *Server) Seed() uint64 { return s.cfg.Seed }

// Endpoints returns the URLs for the configuration of a client.
func (s *Server) Endpoints() Endpoints {
	return Endpoints{
		Authorize: s.url + pathAuthorize, Token: s.url + pathToken, Refresh: s.url + pathRefresh,
		SocketToken: s.url + pathSocketToken, History: s.url + pathHistory, Socket: s.url + "/",
	}
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	let, refused := s.hub.counts()
	return Stats{
		Authorize: int(s.counts.authorize.Load()), Token: int(s.counts.token.Load()),
		Refresh: int(s.counts.refresh.Load()), SocketToken: int(s.counts.socketToken.Load()),
		History: int(s.counts.history.Load()), Connections: let, Refused: refused,
	}
}

// RevokeAll invalidates all access, refresh and socket tokens, as if the streamer had revoked the grant. Open
// connections stay open.
func (s *Server) RevokeAll() { s.grants.revoke() }

// Connections returns the number of open sockets with an accepted token.
func (s *Server) Connections() int { return s.hub.connected() }

// DropConnections cuts all sockets abruptly, without a close packet or closing handshake.
func (s *Server) DropConnections() { s.hub.drop() }

// Close stops the emission, cuts the connections, closes the listener, and waits until all goroutines of the server have
// ended. It may be called more than once. It returns the error of a listener that failed earlier.
func (s *Server) Close() error {
	s.stop(errClosed)
	s.tasks.Wait()
	s.conns.Wait()
	return s.fault
}

// reachable returns the host and port by which a client on this machine reaches addr.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}
