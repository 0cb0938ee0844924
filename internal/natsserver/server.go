// Package natsserver runs a NATS server with JetStream inside this process, for overlays only. An overlay can consume
// the stream [Stream], and nothing else.
//
// The journal is the source of truth, and this package does not depend on it: everything that a power failure loses
// here is published again from the journal, see [Server.Sync]. Start reading at [Start]; access.go has the rights of overlays, and
// consumers.go their requests.
package natsserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// The stream that overlays read, and the subjects in it.
const (
	Stream   = "TREATS"
	Subjects = "treats.>"
)

// maxPayload of the server. A socket frame of 1 MiB grows when its text is escaped as JSON, and must still fit.
const maxPayload = 8 << 20

// The limits of overlays, together and each.
const (
	maxConns = 1024
	maxSubs  = 1000
)

// maxStreamBytes bounds a stream. Beyond it the oldest messages are dropped, which the journal still has.
const maxStreamBytes = 8 << 30

// Config configures a [Server].
type Config struct {
	// Dir is the folder of the streams. It is created if needed, and nothing else may use it.
	Dir string
	// Listen is the TCP address for overlay backends. Empty: the server is available inside this process only.
	Listen string
	// Websocket is the TCP address for overlay pages, which speak NATS over WebSocket. Empty: none.
	Websocket string
	// OverlayUser and OverlayPassword are the credentials of overlays. They can consume the stream [Stream] and nothing
	// else.
	OverlayUser     string
	OverlayPassword secret.String
	Log             zerolog.Logger
}

// Server is a NATS server with JetStream inside this process. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	listen   listen
	password string // of relay's own user; new at each start

	lifecycle
	own   *nats.Conn // for inspecting the streams
	store *store
	// errorLog forwards errors of the server to the log.
	errorLog  *serverLog
	consumers *consumers

	mu   sync.Mutex
	auth *authenticator
	ns   *server.Server // nil: being started, or closed
}

// lifecycle tracks the starts and the background work of a server.
type lifecycle struct {
	reviving sync.Mutex // serializes starts; guards started and closed
	started  time.Time
	closed   bool

	end    context.CancelFunc // ends the background work
	upkeep sync.WaitGroup
}

// Start starts the server and waits until it is ready. An error says what to change. The caller must close the server.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the embedded NATS server: %w; choose another with --data-dir", err)
	}
	s := &Server{cfg: cfg, password: rand.Text(), errorLog: newServerLog(cfg.Log)}
	var err error
	if s.listen.overlays, err = probe(ctx, "nats.listen", cfg.Listen); err != nil {
		return nil, err
	}
	if s.listen.pages, err = probe(ctx, "nats.websocket", cfg.Websocket); err != nil {
		return nil, err
	}
	if err := checkWritable(cfg.Dir); err != nil {
		return nil, err
	}
	s.store = newStore(cfg.Dir)
	if err := s.start(); err != nil {
		return nil, err
	}
	if s.own, err = s.Connect(ctx); err != nil {
		s.shutdown()
		return nil, err
	}
	if err := s.answerOverlays(); err != nil {
		s.own.Close()
		s.shutdown()
		return nil, err
	}
	ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.upkeep.Go(func() { s.keepSynced(ctx) })
	return s, nil
}

// answerOverlays starts to answer requests about consumers.
func (s *Server) answerOverlays() error {
	s.consumers = &consumers{own: s.own, log: s.cfg.Log, authenticator: func() *authenticator {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.auth
	}}
	s.consumers.pushing.Store(true) // unknown, so assume it
	_, err := s.own.Subscribe(askPrefix+">", s.consumers.answer)
	if err == nil {
		err = s.own.Flush()
	}
	if err != nil {
		return fmt.Errorf("listen to overlays: %w", err)
	}
	return nil
}

// options are made for each start, since the server changes them.
func (s *Server) options() (*server.Options, *authenticator, error) {
	relay, err := newRelayAccount()
	if err != nil {
		return nil, nil, err
	}
	auth := newAuthenticator(s.password, s.cfg)
	opts := &server.Options{
		ServerName: "relay", JetStream: true, StoreDir: s.cfg.Dir,
		// As much as the disk holds: by default the server takes three quarters of the free space at its start, not
		// counting the streams.
		JetStreamMaxStore: 1 << 60,
		NoSigs:            true, DontListen: s.cfg.Listen == "", Host: s.listen.overlays.host, Port: s.listen.overlays.port,
		MaxPayload: maxPayload, MaxConn: maxConns, MaxSubs: maxSubs,
		Accounts: []*server.Account{relay}, CustomClientAuthentication: auth,
	}
	if s.cfg.Websocket != "" {
		// Any origin is allowed, since a page in a local file has none. The login keeps others out.
		opts.Websocket = server.WebsocketOpts{Host: s.listen.pages.host, Port: s.listen.pages.port, NoTLS: true, HandshakeTimeout: 5 * time.Second}
	}
	return opts, auth, nil
}

// start starts the server and opens its streams.
func (s *Server) start() error {
	s.started = time.Now()
	opts, auth, err := s.options()
	if err != nil {
		return fmt.Errorf("create the embedded NATS server: %w", err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("create the embedded NATS server: %w", err)
	}
	auth.server = ns
	account, err := ns.LookupAccount(relayAccount) // the server has made its own copy of it
	if err != nil {
		return fmt.Errorf("create the embedded NATS server: %w", err)
	}
	auth.relay = account
	ns.SetLoggerV2(s.errorLog, false, false, false)
	ns.Start()
	if !ns.ReadyForConnections(30 * time.Second) {
		ns.Shutdown()
		return fmt.Errorf("start the embedded NATS server on %q: not ready within 30 s; see the log lines above", s.cfg.Dir)
	}
	if err := account.EnableJetStream(limits(), nil); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return fmt.Errorf("open the streams in %s: %w", s.cfg.Dir, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns, s.auth = ns, auth
	return nil
}

// shutdown stops the running server, if there is one.
func (s *Server) shutdown() {
	s.mu.Lock()
	ns := s.ns
	s.ns = nil
	s.mu.Unlock()
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
}

// Revive restarts the server if its folder is writable. A stream stops writing after a failed write, as on a full disk,
// until it is opened again. Connections inside this process reconnect by themselves. For a few seconds after a start,
// Revive only checks the folder. An error says what to change.
func (s *Server) Revive() error {
	s.reviving.Lock()
	defer s.reviving.Unlock()
	if s.closed {
		return nil
	}
	if err := checkWritable(s.cfg.Dir); err != nil {
		return err
	}
	if time.Since(s.started) < reviveEvery {
		return nil
	}
	s.shutdown()
	return s.start()
}

const reviveEvery = 5 * time.Second

var errAway = errors.New("the embedded NATS server is being started")

// InProcessConn implements [nats.InProcessConnProvider] with the running server.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.ns
	s.mu.Unlock()
	if ns == nil {
		return nil, errAway
	}
	return ns.InProcessConn()
}

// Connect connects to the stream's account inside this process, with all rights. The connection reconnects after
// [Server.Revive]. It does not buffer messages meanwhile.
func (s *Server) Connect(ctx context.Context) (*nats.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(relayUser, s.password), nats.Name(relayUser),
		nats.CustomInboxPrefix(relayInbox), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.FlusherTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// URL returns the URL for overlay backends on this machine, or "" if the server does not listen.
func (s *Server) URL() string { return s.listen.overlays.url("nats") }

// WebsocketURL returns the URL for overlay pages on this machine, or "" if there is none.
func (s *Server) WebsocketURL() string { return s.listen.pages.url("ws") }

// Close stops the server and makes its content durable.
func (s *Server) Close() {
	s.end()
	s.upkeep.Wait()
	s.reviving.Lock()
	defer s.reviving.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if err := s.Sync(context.Background()); err != nil {
		s.cfg.Log.Warn().Err(err).Msg("treats for overlays were not synced to disk")
	}
	s.own.Close()
	s.shutdown()
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := errors.Join(s.store.scan(), s.store.sync()); err != nil { // the server's last writes
		s.cfg.Log.Warn().Err(err).Msg("treats for overlays were not synced to disk")
	}
}

// reachable returns the host and port by which this machine reaches a listener.
func reachable(host string, port int) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // all addresses of the machine, including this one
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
