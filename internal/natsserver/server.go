// Package natsserver runs a NATS server with JetStream inside this process, for overlays: they read treats from it. What it
// holds can be published again from the journal, which is the truth; see [Server.Sync] for what that takes.
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

// What overlays can take up of the server, all together and each of them.
const (
	maxConns = 1024
	maxSubs  = 1000
)

// maxStreamBytes is how much a stream holds; then its oldest messages go, which the journal still has.
const maxStreamBytes = 8 << 30

// Config configures a [Server].
type Config struct {
	// Dir is where the streams are kept. It is created if absent, and is the server's alone.
	Dir string
	// Listen is the TCP address for overlay backends. Empty: the server is reached inside this process only.
	Listen string
	// Websocket is the TCP address for overlay pages, which speak NATS over a WebSocket. Empty: there is none.
	Websocket string
	// OverlayUser and OverlayPassword are the credentials of overlays. They may consume the stream [Stream], and nothing
	// else.
	OverlayUser     string
	OverlayPassword secret.String
	Log             zerolog.Logger
}

// Server is a NATS server with JetStream inside this process. Its methods may be called by several goroutines.
type Server struct {
	cfg      Config
	listen   listen
	password string // of relay's own user; another one at each start

	reviving sync.Mutex // one start at a time
	started  time.Time
	closed   bool

	own    *nats.Conn // to inspect the streams
	end    context.CancelFunc
	upkeep sync.WaitGroup
	store  *store
	// complaints of the server, which go to the log.
	complaints *serverLog
	consumers  *consumers

	mu   sync.Mutex
	gate *gate
	ns   *server.Server // nil while it is being started, and once it is closed
}

// Start starts the server and waits until it is ready. An error says what to change.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the embedded NATS server: %w; choose another with --data-dir", err)
	}
	s := &Server{cfg: cfg, password: rand.Text(), complaints: newServerLog(cfg.Log)}
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

// answerOverlays begins to answer what they ask about consumers.
func (s *Server) answerOverlays() error {
	s.consumers = &consumers{own: s.own, log: s.cfg.Log, gate: func() *gate {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.gate
	}}
	s.consumers.pushing.Store(true) // as far as is known
	_, err := s.own.Subscribe(askPrefix+">", s.consumers.answer)
	if err == nil {
		err = s.own.Flush()
	}
	if err != nil {
		return fmt.Errorf("listen to overlays: %w", err)
	}
	return nil
}

// options are made again for each start, because the server changes them.
func (s *Server) options() (*server.Options, *gate, error) {
	relay, err := newRelayAccount()
	if err != nil {
		return nil, nil, err
	}
	gate := newGate(s.password, s.cfg)
	opts := &server.Options{
		ServerName: "relay", JetStream: true, StoreDir: s.cfg.Dir,
		// As much as the disk holds: the server's own bound is three quarters of what is free at its start, without what
		// the streams hold already.
		JetStreamMaxStore: 1 << 60,
		NoSigs:            true, DontListen: s.cfg.Listen == "", Host: s.listen.overlays.host, Port: s.listen.overlays.port,
		MaxPayload: maxPayload, MaxConn: maxConns, MaxSubs: maxSubs,
		Accounts: []*server.Account{relay}, CustomClientAuthentication: gate,
	}
	if s.cfg.Websocket != "" {
		// Pages of any origin, for one that is a file on disk has none. The login is what keeps others out.
		opts.Websocket = server.WebsocketOpts{Host: s.listen.pages.host, Port: s.listen.pages.port, NoTLS: true, HandshakeTimeout: 5 * time.Second}
	}
	return opts, gate, nil
}

// start starts the server and opens its streams.
func (s *Server) start() error {
	s.started = time.Now()
	opts, gate, err := s.options()
	if err != nil {
		return fmt.Errorf("make the embedded NATS server: %w", err)
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make the embedded NATS server: %w", err)
	}
	gate.server = ns
	account, err := ns.LookupAccount(relayAccount) // the server has made one of its own of it
	if err != nil {
		return fmt.Errorf("make the embedded NATS server: %w", err)
	}
	gate.relay = account
	ns.SetLoggerV2(s.complaints, false, false, false)
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
	s.ns, s.gate = ns, gate
	return nil
}

// shutdown ends the running server, if there is one.
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

// Revive starts the server again if its folder can be written to: after a write has failed, as on a full disk, a stream writes
// nothing more until it is opened again. Connections inside this process come back by themselves.
// For a few seconds after a start it only checks the folder. An error says what to change.
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

// InProcessConn implements [nats.InProcessConnProvider] by the present server.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.ns
	s.mu.Unlock()
	if ns == nil {
		return nil, errAway
	}
	return ns.InProcessConn()
}

// Connect connects to the account that holds the stream, inside this process, with every right in it. The connection comes
// back by itself after [Server.Revive], and keeps nothing for later meanwhile.
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

// URL is where overlay backends on this machine connect, empty if the server does not listen.
func (s *Server) URL() string { return s.listen.overlays.url("nats") }

// WebsocketURL is where overlay pages on this machine connect, empty if there is no place for them.
func (s *Server) WebsocketURL() string { return s.listen.pages.url("ws") }

// Close stops the server and makes what it holds durable.
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
	if err := errors.Join(s.store.look(), s.store.sync()); err != nil { // what it wrote at its end
		s.cfg.Log.Warn().Err(err).Msg("treats for overlays were not synced to disk")
	}
}

// reachable is how this machine reaches what listens there.
func reachable(host string, port int) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // every address of the machine, this one among them
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
