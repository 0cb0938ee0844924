package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// drainTime is how long a stopping relay goes on delivering what it has received. With what it takes to close everything
// after that, relay is gone within 10 s, when service managers lose patience.
const drainTime = 7 * time.Second

// A job is the main job put together: accounts, journal and lanes.
type job struct {
	log     zerolog.Logger
	metrics *prometheus.Registry
	server  *pipeline.Server // nil if nothing needs it
	journal *pipeline.Journal
	// accounts are kept fresh, used or not; sources are those that receive treats.
	accounts map[string]*auth.Account
	sources  []*source
	lanes    []*pipeline.Lane
	undo     teardown
}

// newJob opens everything and starts nothing. On an error everything is closed again.
func (p *program) newJob(ctx context.Context, cfg *Config, dir string, log zerolog.Logger) (_ *job, err error) {
	j := &job{log: log, metrics: prometheus.NewRegistry()}
	var opened teardown // sinks, which are their lanes' to close once those run
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.run(), j.undo.run())
		}
	}()
	j.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := pipeline.NewMetrics(j.metrics)

	if j.accounts, err = p.openGrants(ctx, cfg, dir, auth.NewMetrics(j.metrics), log); err != nil {
		return nil, err
	}
	if err := p.openServer(ctx, j, cfg, dir); err != nil {
		return nil, err
	}
	conn, err := j.journalConn(ctx, cfg.Journal)
	if err != nil {
		return nil, err
	}
	j.undo.add("journal's connection", func() error { conn.Close(); return nil })
	jc := pipeline.JournalConfig{Conn: conn, Retention: cfg.Journal.Retention, Log: log, Metrics: metrics}
	if cfg.Journal.NATSURL.Empty() {
		jc.Revive = j.server.Revive
	}
	j.journal, err = pipeline.OpenJournal(ctx, jc)
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	for _, s := range cfg.Sinks {
		env := sinks.Env{
			Name: s.Name, Stdout: p.out, UserAgent: userAgent(), Log: log.With().Str("sink", s.Name).Logger(),
			NATS:   func(ctx context.Context) (*nats.Conn, error) { return j.server.Overlay(ctx) },
			Bearer: j.bearer, Revive: func() error { return j.server.Revive() },
		}
		sink, err := s.Config.Open(ctx, env)
		if err != nil {
			return nil, withCode(exitUnavailable, fmt.Errorf("open sink %s: %w", s.Name, err))
		}
		opened.add("sink "+s.Name, sink.Close)
		lane, err := pipeline.OpenLane(ctx, j.journal, sink, pipeline.LaneConfig{Sink: s.Name, Accounts: s.Accounts, Retry: s.Retry, Log: log})
		if err != nil {
			return nil, withCode(exitUnavailable, err)
		}
		j.lanes = append(j.lanes, lane)
	}
	connected := newSourceMetrics(j.metrics)
	for _, a := range cfg.Accounts {
		if !receives(a) {
			continue
		}
		s, err := newSource(a, j.accounts[a.Account], j.journal, connected, log)
		if err != nil {
			return nil, err
		}
		j.sources = append(j.sources, s)
	}
	if cfg.HTTP.Listen != "" {
		stop, err := serveHTTP(ctx, cfg.HTTP.Listen, j.metrics, log)
		if err != nil {
			return nil, err
		}
		j.undo.add("http", stop)
	}
	return j, nil
}

// receives reports whether the account is one that receives treats.
func receives(a AccountConfig) bool { return a.Provider.Endpoints.Socket != "" }

// bearer finds the account whose tokens a webhook sends.
func (j *job) bearer(name string) (sinks.Bearer, error) {
	account, ok := j.accounts[name]
	if !ok {
		return nil, fmt.Errorf("there is no account %q", name)
	}
	return bearer{account}, nil
}

// bearer presents an account to a sink.
type bearer struct{ account *auth.Account }

// Token implements [sinks.Bearer].
func (b bearer) Token(ctx context.Context) (secret.String, int64, error) {
	token, err := b.account.Token(ctx)
	return token.AccessToken, token.Generation, err
}

// Refresh implements [sinks.Bearer].
func (b bearer) Refresh(ctx context.Context, generation int64) (secret.String, int64, error) {
	token, err := b.account.Refresh(ctx, generation)
	return token.AccessToken, token.Generation, err
}

// openGrants makes the accounts and checks their grants. It is an error if none of those that receive treats has a grant. Any
// other without one is logged, and waits.
func (p *program) openGrants(ctx context.Context, cfg *Config, dir string, metrics *auth.Metrics, log zerolog.Logger) (map[string]*auth.Account, error) {
	store, err := p.openStore(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	accounts := make(map[string]*auth.Account, len(cfg.Accounts))
	var missing, idle []error
	receiving := 0
	for _, c := range cfg.Accounts {
		account, err := newAccount(c, store, metrics, log)
		if err != nil {
			return nil, err
		}
		accounts[c.Account] = account
		_, err = account.Status()
		if receives(c) {
			receiving++
		}
		switch {
		case err == nil:
		case receives(c):
			missing = append(missing, err)
		default:
			idle = append(idle, err)
		}
	}
	if receiving == 0 {
		log.Warn().Msg("no account receives treats, for none is of provider treatstream: relay only keeps tokens fresh")
	} else if len(missing) == receiving {
		return nil, errors.Join(missing...)
	}
	for _, err := range append(missing, idle...) {
		log.Error().Err(err).Msg("account waits for a login; the others run")
	}
	return accounts, nil
}

// openStore opens the store of the grants, sealed with this user's identity.
func (p *program) openStore(ctx context.Context, dir string, log zerolog.Logger) (*auth.FileStore, error) {
	id, err := p.identity(ctx)
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if id.Created {
		log.Info().Str("identity", id.Source).Msg("made an identity to seal tokens with; keep it: without it the stored logins are worthless")
	}
	store, err := auth.NewFileStore(filepath.Join(dir, accountsDir), auth.NewAgeSealer(id))
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if plain := store.Plain(); len(plain) > 0 {
		log.Warn().Strs("accounts", plain).Msg("tokens of an older relay are not sealed yet; they are at their next refresh")
	}
	return store, nil
}

// identity is what tokens are sealed with: $RELAY_IDENTITY_FILE, else the OS keyring, else a file in the user's configuration
// folder. A simulation has one of its own.
func (p *program) identity(ctx context.Context) (auth.Identity, error) {
	file, _ := p.getenv("RELAY_IDENTITY_FILE")
	opts := auth.IdentityOptions{File: file, Keyring: true}
	if p.simulation != "" {
		opts = auth.IdentityOptions{Fallback: filepath.Join(p.simulation, "identity.txt")}
	} else if dir, err := os.UserConfigDir(); err == nil {
		opts.Fallback = filepath.Join(dir, "relay", "identity.txt")
	}
	return auth.LoadIdentity(ctx, opts)
}

func newAccount(c AccountConfig, store auth.Store, metrics *auth.Metrics, log zerolog.Logger) (*auth.Account, error) {
	account, err := auth.New(c.Config, store, auth.Options{Log: log, UserAgent: userAgent(), Metrics: metrics})
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	return account, nil
}

// openServer starts the embedded NATS server if the journal or a sink needs it. It listens only for overlay backends.
func (p *program) openServer(ctx context.Context, j *job, cfg *Config, dir string) error {
	overlay := false
	for _, s := range cfg.Sinks {
		if n, ok := s.Config.(*sinks.NATSConfig); ok && n.URL.Empty() {
			overlay = true
		}
	}
	if !cfg.Journal.NATSURL.Empty() && !overlay {
		return nil
	}
	sc := pipeline.ServerConfig{Dir: filepath.Join(dir, journalDir), Log: j.log}
	var created bool
	if overlay {
		login, isNew, err := loadOverlayLogin(dir)
		if err != nil {
			return err
		}
		created = isNew
		sc.Listen, sc.OverlayUser, sc.OverlayPassword = cfg.NATS.Listen, login.User, login.secret()
	}
	server, err := pipeline.StartServer(ctx, sc)
	if err != nil {
		return withCode(exitUnavailable, err)
	}
	j.server = server
	j.undo.add("embedded NATS server", func() error { server.Close(); return nil })
	if overlay {
		at, err := url.Parse(server.URL())
		if err != nil {
			return fmt.Errorf("address of the embedded NATS server: %w", err)
		}
		j.log.Info().Str("url", at.String()).Str("credentials", filepath.Join(dir, overlayFile)).Msg("overlay backends may connect")
		if created {
			at.User = url.UserPassword(sc.OverlayUser, sc.OverlayPassword.Reveal())
			_, err = fmt.Fprintf(p.err, "Overlay backends connect to %s\nThis is shown once; %s keeps it.\n", at, filepath.Join(dir, overlayFile))
		}
		return err
	}
	return nil
}

// journalConn connects to the journal's server: the embedded one, or the one configured, for which it waits.
func (j *job) journalConn(ctx context.Context, cfg JournalConfig) (*nats.Conn, error) {
	if cfg.NATSURL.Empty() {
		conn, err := j.server.Journal(ctx)
		return conn, withCode(exitUnavailable, err)
	}
	opts := []nats.Option{
		nats.Name("relay journal"), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectBufSize(-1),   // the journal itself tries again
		nats.IgnoreAuthErrorAbort(), // a server that refuses the login for a while, as at its restart, is no reason to give up
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			j.log.Debug().Err(err).Msg("connection to the journal's server")
		}),
	}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if !cfg.Token.Empty() {
		opts = append(opts, nats.Token(cfg.Token.Reveal()))
	}
	at := natsHosts(cfg.NATSURL.Reveal())
	for said := false; ; said = true {
		conn, err := nats.Connect(cfg.NATSURL.Reveal(), opts...)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, nats.ErrAuthorization), !away(err):
			err = errors.New(secret.Scrub(err.Error(), cfg.NATSURL, cfg.Token))
			return nil, withCode(exitUnavailable, fmt.Errorf("connect to the journal's server %s (journal.nats_url): %w", at, err))
		case !said:
			j.log.Warn().Str("server", at).Msg("journal's server does not answer; waiting for it")
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// away reports whether a server that did not let us in may do so later: it is down, or its name or network is.
func away(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	return network || dns || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, nats.ErrConnectionClosed)
}

// natsHosts names the servers of a NATS URL without what may be secret in it.
func natsHosts(urls string) string {
	var hosts []string
	for one := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}

var errDrainTime = errors.New("the time to deliver the rest is up")

// serve runs the job until ctx ends or a part of it cannot go on. Then it stops taking in, journals what it has received,
// and delivers what is journaled, for as long as drainTime allows.
func (j *job) serve(ctx context.Context) (err error) {
	defer func() {
		closing := j.undo.run()
		if err == nil && ctx.Err() != nil && closing != nil { // stopped as asked, though not all of it could be tidied up
			j.log.Warn().Err(closing).Msg("not everything closed in time")
			return
		}
		err = errors.Join(err, closing)
	}()
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	var journal, lanes, sources sync.WaitGroup
	var journalErr error
	journal.Go(func() {
		if journalErr = j.journal.Run(hard); journalErr != nil {
			stop(journalErr)
		}
	})
	for _, l := range j.lanes {
		lanes.Go(func() {
			err := l.Run(hard)
			if err == nil {
				return
			}
			if !errors.Is(err, pipeline.ErrSinkClosed) {
				j.log.Error().Err(err).Msg("lane ended")
			}
			stop(err)
		})
	}
	for _, a := range j.accounts {
		sources.Go(func() { a.Run(taking) })
	}
	for _, s := range j.sources {
		sources.Go(func() {
			if err := s.run(taking); err != nil {
				stop(err)
			}
		})
	}
	j.log.Info().Int("accounts", len(j.sources)).Int("sinks", len(j.lanes)).Str("version", version()).Msg("relay runs")

	<-taking.Done()
	cause := context.Cause(taking)
	limit := time.AfterFunc(drainTime, func() { kill(errDrainTime) })
	defer limit.Stop()
	sources.Wait()
	j.journal.Close()
	journal.Wait()
	for _, l := range j.lanes {
		l.Drain()
	}
	lanes.Wait()
	if errors.Is(context.Cause(hard), errDrainTime) {
		j.log.Warn().Msg("stopped with deliveries under way; they are made at the next start")
	}
	switch {
	case journalErr != nil:
		return journalErr
	case errors.Is(cause, pipeline.ErrSinkClosed), ctx.Err() != nil:
		return nil
	default:
		return cause
	}
}

// teardown is what is to be closed, last opened first.
type teardown []closer

type closer struct {
	name  string
	close func() error
}

func (t *teardown) add(name string, closeIt func() error) { *t = append(*t, closer{name, closeIt}) }

func (t *teardown) run() error {
	var errs []error
	for _, c := range slices.Backward(*t) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	*t = nil
	return errors.Join(errs...)
}
