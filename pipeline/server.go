package pipeline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/journalfiles"
	"github.com/treatrelay/relay/internal/secret"
)

// The stream that overlay backends read on the embedded server, and the subjects in it.
const (
	OverlayStream   = "TREATS"
	OverlaySubjects = "treats.>"
)

// maxPayload of the embedded server. A socket frame of 1 MiB grows when its text is escaped as JSON, and must still fit.
const maxPayload = 8 << 20

// ServerConfig configures a [Server].
type ServerConfig struct {
	// Dir is where the streams are kept. It is created if absent.
	Dir string
	// Listen is the TCP address for overlay backends. Empty: the server is reached inside this process only.
	Listen string
	// Websocket is the TCP address for overlay pages, which speak NATS over a WebSocket. Empty: there is none.
	Websocket string
	// OverlayUser and OverlayPassword are the credentials of overlay backends. They may consume the stream
	// [OverlayStream], and nothing else.
	OverlayUser     string
	OverlayPassword secret.String
	Log             zerolog.Logger
}

// Server is a NATS server with JetStream inside this process. It holds two NATS accounts that share nothing: the
// journal's, which no listener reaches, and that of the overlay backends. So whatever overlay credentials are used for,
// they cannot touch the journal.
type Server struct {
	cfg      ServerConfig
	host     string // to listen on
	port     int
	wsHost   string // for pages
	wsPort   int
	password string // of the users of this process, made anew at each start

	reviving sync.Mutex // one start at a time
	started  time.Time

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	copier    sync.WaitGroup

	mu sync.Mutex
	ns *server.Server // nil while it is being started anew
}

// NATS accounts and users of the embedded server.
const (
	journalAccount = "JOURNAL"
	overlayAccount = "OVERLAY"
	journalUser    = "relay-journal"
	publisherUser  = "relay-publisher"
)

// StartServer looks after the files in its folder, starts the embedded server and waits until it is ready. Damage that can be
// confined is logged, with what it means; a folder beside cfg.Dir, its name followed by "-damaged", keeps the damaged files.
// An error says what to change.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's folder: %w; choose another with --data-dir", err)
	}
	s := &Server{cfg: cfg, password: rand.Text(), closing: make(chan struct{})}
	if cfg.Listen != "" {
		var err error
		if s.host, s.port, err = probeListen(ctx, "nats.listen", cfg.Listen); err != nil {
			return nil, err
		}
	}
	if cfg.Websocket != "" {
		var err error
		if s.wsHost, s.wsPort, err = probeListen(ctx, "nats.websocket", cfg.Websocket); err != nil {
			return nil, err
		}
	}
	// The check goes first: a write to the folder makes its seal invalid.
	if err := checkFiles(ctx, cfg.Dir, cfg.Log); err != nil {
		return nil, err
	}
	if err := checkWritable(cfg.Dir); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	s.copier.Go(s.keepCopies)
	return s, nil
}

// keepCopies keeps copies of what the streams and cursors are, for the check after a crash, until Close.
func (s *Server) keepCopies() {
	said := ""
	for wait := time.Second; ; wait = copyEvery { // the first run makes its streams soon
		switch err := journalfiles.Copy(s.cfg.Dir); {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			s.cfg.Log.Warn().Err(err).Msg("copies of the journal's settings cannot be written; trying again")
		}
		select {
		case <-s.closing:
			return
		case <-time.After(wait):
		}
	}
}

const copyEvery = 10 * time.Second

// options are made anew for each start, because the server changes them.
func (s *Server) options() *server.Options {
	journal, overlay := server.NewAccount(journalAccount), server.NewAccount(overlayAccount)
	users := []*server.User{
		{Username: journalUser, Password: s.password, Account: journal},
		{Username: publisherUser, Password: s.password, Account: overlay},
	}
	if s.cfg.OverlayUser != "" {
		users = append(users, &server.User{
			Username: s.cfg.OverlayUser, Password: s.cfg.OverlayPassword.Reveal(), Account: overlay,
			Permissions: overlayPermissions(),
		})
	}
	opts := &server.Options{
		ServerName: "relay", JetStream: true, StoreDir: s.cfg.Dir,
		// Every acknowledged write is fsynced: an interval loses what was acknowledged within it on a power cut.
		SyncAlways: true,
		// As much as the disk holds: the server's own bound is three quarters of what is free at its start, without what
		// the streams hold already.
		JetStreamMaxStore: 1 << 60,
		NoSigs:            true, DontListen: s.cfg.Listen == "", Host: s.host, Port: s.port, MaxPayload: maxPayload,
		Accounts: []*server.Account{journal, overlay}, Users: users,
	}
	if s.cfg.Websocket != "" {
		// Pages of any origin, for one that is a file on disk has none. The login is what keeps others out.
		opts.Websocket = server.WebsocketOpts{Host: s.wsHost, Port: s.wsPort, NoTLS: true, HandshakeTimeout: 5 * time.Second}
	}
	return opts
}

// start starts the server and opens its streams.
func (s *Server) start() error {
	s.started = time.Now()
	ns, err := server.NewServer(s.options())
	if err != nil {
		return fmt.Errorf("make the embedded NATS server: %w", err)
	}
	ns.SetLoggerV2(serverLog{s.cfg.Log}, false, false, false)
	ns.Start()
	if !ns.ReadyForConnections(30 * time.Second) {
		ns.Shutdown()
		return fmt.Errorf("start the embedded NATS server on %q: not ready within 30 s; see the log lines above", s.cfg.Dir)
	}
	for _, name := range []string{journalAccount, overlayAccount} {
		account, err := ns.LookupAccount(name)
		if err == nil {
			err = account.EnableJetStream(nil, nil)
		}
		if err != nil {
			ns.Shutdown()
			ns.WaitForShutdown()
			return fmt.Errorf("open the streams of %s in %s: %w", name, s.cfg.Dir, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ns = ns
	return nil
}

// Revive starts the server anew if its folder can be written to: after a write has failed, as on a full disk, a stream writes
// nothing more until it is opened again. Connections inside this process come back by themselves.
// It may be called by several goroutines, and does nothing for a few seconds after a start.
func (s *Server) Revive() error {
	s.reviving.Lock()
	defer s.reviving.Unlock()
	if time.Since(s.started) < reviveEvery {
		return nil
	}
	if err := checkWritable(s.cfg.Dir); err != nil {
		return err
	}
	s.mu.Lock()
	ns := s.ns
	s.ns = nil
	s.mu.Unlock()
	if ns != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
	}
	return s.start()
}

const reviveEvery = 5 * time.Second

var errServerAway = errors.New("the embedded NATS server is being started")

// InProcessConn implements [nats.InProcessConnProvider] by the present server.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	ns := s.ns
	s.mu.Unlock()
	if ns == nil {
		return nil, errServerAway
	}
	return ns.InProcessConn()
}

// overlayPermissions is what consuming one stream with the usual clients takes: JetStream's consumer API on that stream, the
// client's own inbox, and the subjects themselves.
func overlayPermissions() *server.Permissions {
	const s = OverlayStream
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO." + s,
			"$JS.API.CONSUMER.CREATE." + s, "$JS.API.CONSUMER.CREATE." + s + ".>", "$JS.API.CONSUMER.DURABLE.CREATE." + s + ".>",
			"$JS.API.CONSUMER.INFO." + s + ".>", "$JS.API.CONSUMER.LIST." + s, "$JS.API.CONSUMER.NAMES." + s,
			"$JS.API.CONSUMER.DELETE." + s + ".>", "$JS.API.CONSUMER.MSG.NEXT." + s + ".>",
			"$JS.API.STREAM.MSG.GET." + s, "$JS.API.DIRECT.GET." + s, "$JS.API.DIRECT.GET." + s + ".>",
			"$JS.ACK." + s + ".>", "$JS.FC." + s + ".>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{OverlaySubjects, "_INBOX.>"}},
	}
}

// Journal connects to the journal's account, inside this process.
func (s *Server) Journal(ctx context.Context) (*nats.Conn, error) {
	return s.connect(ctx, journalUser)
}

// JournalLogin is what a connection made by [Server.InProcessConn] logs in to the journal's account with, until the process
// ends.
func (s *Server) JournalLogin() (user string, password secret.String) {
	return journalUser, secret.New(s.password)
}

// Overlay connects to the overlay backends' account, inside this process, with the right to publish.
func (s *Server) Overlay(ctx context.Context) (*nats.Conn, error) {
	return s.connect(ctx, publisherUser)
}

func (s *Server) connect(ctx context.Context, user string) (*nats.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(user, s.password), nats.Name(user),
		// Overlay backends may subscribe to _INBOX.>, so what relay receives goes elsewhere.
		nats.CustomInboxPrefix("_RELAY"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.FlusherTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server as %s: %w", user, err)
	}
	return nc, nil
}

// URL is where overlay backends on this machine connect, empty if the server does not listen.
func (s *Server) URL() string {
	if s.cfg.Listen == "" {
		return ""
	}
	return "nats://" + reachable(s.host, s.port)
}

// WebsocketURL is where overlay pages on this machine connect, empty if there is no place for them.
func (s *Server) WebsocketURL() string {
	if s.cfg.Websocket == "" {
		return ""
	}
	return "ws://" + reachable(s.wsHost, s.wsPort)
}

// reachable is how this machine reaches what listens there.
func reachable(host string, port int) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() { // every address of the machine, this one among them
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Close stops the server and waits until it has written everything. Then it seals the files, so that the next start sees whether
// anything has changed them meanwhile.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closing) })
	s.copier.Wait()
	s.mu.Lock()
	ns := s.ns
	s.ns = nil
	s.mu.Unlock()
	if ns == nil {
		return
	}
	ns.Shutdown()
	ns.WaitForShutdown()
	if err := journalfiles.Seal(s.cfg.Dir); err != nil {
		s.cfg.Log.Warn().Err(err).Msg("damage to the journal's files until the next start may not be noticed")
	}
}

// probeListen checks that the address can be listened on, which the server reports in its log only, and chooses the port
// if it is 0.
func probeListen(ctx context.Context, key, listen string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: want HOST:PORT such as 127.0.0.1:4222", key, listen)
	}
	if number, err := strconv.Atoi(portText); err != nil || number < 0 || number > 65535 {
		return "", 0, fmt.Errorf("%s %q: the port must be a number from 0 to 65535", key, listen)
	}
	probe, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen for overlays on %s %s: %w; stop what uses it or choose another address", key, listen, errors.Unwrap(err))
	}
	addr, ok := probe.Addr().(*net.TCPAddr)
	if err := probe.Close(); err != nil || !ok {
		return "", 0, fmt.Errorf("probe %s %s: %w", key, listen, err)
	}
	return host, addr.Port, nil
}

// checkWritable writes a file of a MiB in the folder, since the server does not report clearly that it cannot.
func checkWritable(dir string) error {
	probe := filepath.Join(dir, ".write-test")
	err := os.WriteFile(probe, make([]byte, 1<<20), 0o600)
	if removeErr := os.Remove(probe); err == nil {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("write to the journal's folder: %w; free some space, mend its permissions or choose another with --data-dir", err)
	}
	return nil
}

// serverLog hands the embedded server's complaints to relay's log.
type serverLog struct{ log zerolog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debug().Msgf("nats-server: "+format, v...) }

func (l serverLog) Warnf(format string, v ...any) { l.log.Debug().Msgf("nats-server: "+format, v...) }

func (l serverLog) Fatalf(format string, v ...any) { l.log.Error().Msgf("nats-server: "+format, v...) }

func (l serverLog) Errorf(format string, v ...any) { l.log.Error().Msgf("nats-server: "+format, v...) }

func (l serverLog) Debugf(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }

func (l serverLog) Tracef(format string, v ...any) { l.log.Trace().Msgf("nats-server: "+format, v...) }
