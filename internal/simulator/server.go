// Package simulator is a TreatStream to run against: OAuth2 with a rotating refresh token, the socket token, the
// history of thirty days and the realtime socket, on one loopback listener. It knows what the provider's public
// documentation and the public code that integrates it say, and nothing more; where the provider's behaviour is
// unknown (the texts of errors, the shape of the history's reply) it does the plain thing.
//
// # Why the socket's server is written here
//
// The provider's realtime server is Socket.IO 1.x or 2.x, which is Engine.IO protocol 3. The Go server of the client's
// family (zishang520/socket.io v2 with AllowEIO3) does answer such clients, but the provider's own sample program, the
// browser client 1.7.2 that begins with polling, received none of 600 events with non-ASCII text from it: protocol 3 has
// two incompatible ways to encode such text in a polling reply. What relay needs of a server is small, so it is written
// here over coder/websocket: it tells exactly who was written to, cuts connections abruptly on request, stops without
// leaving a goroutine, and does not share its mistakes with the client that is tested against it.
//
// Nothing here is meant to face the internet: it approves every login.
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

// What a [Config] that leaves the field empty gets. The client is invented: the simulator knows no other.
const (
	DefaultClientID     = "relay-simulator"
	DefaultClientSecret = "simulated-client-secret"
	DefaultReceiver     = "DemoStreamer"
)

// The lifetimes. The provider documents those of the access and the refresh token, says of a code that it is valid
// "few minutes", and nothing of the socket token.
const (
	accessLife  = 30 * 24 * time.Hour
	refreshLife = 180 * 24 * time.Hour
	codeLife    = 5 * time.Minute
	socketLife  = time.Minute
)

// errClosed is why everything of a simulator stopped.
var errClosed = errors.New("simulator closed")

// Config says what to simulate. The zero value is a quiet, faultless service on a free loopback port.
type Config struct {
	// Addr is the TCP address to listen on; empty means 127.0.0.1 and a free port.
	Addr string

	// Rate is the mean number of treats a second that are emitted without being asked for; their arrivals are
	// random (Poisson). 0 means none.
	Rate float64
	// Seed decides treats, arrivals and faults: the same seed gives the same of each, in the same order, apart from
	// the dates. 0 means a random seed, which [Server.Seed] tells.
	Seed uint64
	// HoldWhileAway pauses the emission while no client is connected. Without it such treats exist in the history
	// only, as with the real service, which queues nothing.
	HoldWhileAway bool

	// The faults concern the treats emitted at Rate, not those of [Server.Emit].

	// Drop is the probability, for each treat emitted at Rate, that every connection is cut right after it.
	Drop float64
	// Dup is the probability that a viewer sends the very same treat twice within the second. Both are real.
	Dup float64
	// Malformed is the probability of an extra payload that cannot be a treat, before a treat.
	Malformed float64
	// Odd is the probability that a treat is emitted in an unusual shape that a tolerant reader still understands: a
	// number for a string, unknown keys, a null message, an array around the object.
	Odd float64
	// ExpireToken is the life of an access token, announced in whole seconds (at least 1); 0 means 30 days.
	ExpireToken time.Duration

	// ClientID and ClientSecret are the one registered client; empty means the defaults.
	ClientID, ClientSecret string
	// Receiver is the streamer who gets every treat.
	Receiver string
	// Consent shows a page with Allow and Deny instead of approving a login at once.
	Consent bool

	// PingInterval and PingTimeout are announced in the socket's handshake; 0 means 25 s and 5 s. A client that is
	// silent for the sum of both is cut.
	PingInterval, PingTimeout time.Duration
	// AllowEIO4 also speaks Engine.IO protocol 4 (Socket.IO 3 and 4), over WebSocket only, with clients that ask for
	// it. Without it they meet what they meet at the real service: a server of Socket.IO 1.x or 2.x.
	AllowEIO4 bool

	// Log gets notes on the protocol at debug level, never a token.
	Log zerolog.Logger
}

// Server is a running simulator. All its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	url     string
	grants  *grants
	history history
	hub     *hub
	emitMu  sync.Mutex // keeps the order of the history and of the wire the same
	closed  atomic.Bool
	counts  struct {
		authorize, token, refresh, socketToken, history atomic.Int64
	}

	stop  context.CancelCauseFunc
	tasks sync.WaitGroup // what Start began
	conns sync.WaitGroup // every network connection and every handler that outlives it
	fault error          // of the listener; written by a task, read after tasks.Wait
}

// Stats counts what a server was asked for, whatever it answered, since it started.
type Stats struct {
	Authorize, Token, Refresh, SocketToken, History int
	// Connections counts the sockets that were let in, Refused those whose token was not accepted.
	Connections, Refused int
}

// Endpoints are the URLs of a server, each as a client's configuration takes it.
type Endpoints struct {
	Authorize, Token, Refresh, SocketToken string
	// History takes the access token as one more path segment or as the query parameter access_token.
	History string
	// Socket is the URL that a Socket.IO client is given: without /socket.io/ and without ?token=.
	Socket string
}

// Start listens and begins to emit. The server runs until ctx ends or [Server.Close] is called; call Close in both
// cases, to wait until it is gone.
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
		_ = web.Close() // Its only errors are those of closing a listener that is to vanish anyway.
		s.hub.close()
	})
	if cfg.Rate > 0 {
		s.tasks.Go(func() { s.emitAll(ctx) })
	}
	return s, nil
}

// newServer checks cfg, fills its gaps and makes a server that does not listen yet.
func newServer(cfg Config) (*Server, error) {
	for _, p := range []struct {
		name  string
		value float64
	}{{"drop", cfg.Drop}, {"dup", cfg.Dup}, {"malformed", cfg.Malformed}, {"odd", cfg.Odd}} {
		if !(p.value >= 0 && p.value <= 1) {
			return nil, fmt.Errorf("start simulator: %s is %v; a probability is from 0 to 1", p.name, p.value)
		}
	}
	if !(cfg.Rate >= 0) || math.IsInf(cfg.Rate, 1) {
		return nil, fmt.Errorf("start simulator: rate is %v; give treats a second, 0 or more", cfg.Rate)
	}
	if min(cfg.ExpireToken, cfg.PingInterval, cfg.PingTimeout) < 0 {
		return nil, errors.New("start simulator: a duration is negative; give 0 for the default")
	}
	if cfg.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // It never returns an error.
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

// handler routes every endpoint.
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

// counted also notes a request, by its pattern: its path and its query may hold a token.
func (s *Server) counted(n *atomic.Int64, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		s.cfg.Log.Debug().Str("endpoint", r.Pattern).Msg("Request")
		next(w, r)
	}
}

// track counts the connections that net/http serves, so that Close can wait for its goroutines. The state is New before
// Serve can return, and a handler that takes a connection over counts itself before it does.
func (s *Server) track(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// URL is the server's base, such as http://127.0.0.1:43210, without a slash at its end.
func (s *Server) URL() string { return s.url }

// Seed is the seed in use, also where the configuration left it to chance.
func (s *Server) Seed() uint64 { return s.cfg.Seed }

// Endpoints returns the URLs to configure a client with.
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

// RevokeAll makes every access, refresh and socket token invalid, as if the streamer had withdrawn the grant.
// Connections that are open stay open.
func (s *Server) RevokeAll() { s.grants.revoke() }

// Connections is the number of sockets that are connected now, with an accepted token.
func (s *Server) Connections() int { return s.hub.connected() }

// DropConnections cuts every socket abruptly: no closing packet, no closing handshake.
func (s *Server) DropConnections() { s.hub.drop() }

// Close stops the emission, cuts the connections, closes the listener and waits until every goroutine of the server has
// ended. It may be called more than once. Its error is that of a listener that broke earlier.
func (s *Server) Close() error {
	s.stop(errClosed)
	s.tasks.Wait()
	s.conns.Wait()
	return s.fault
}

// reachable is the host and port under which a client on this machine reaches addr.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}
