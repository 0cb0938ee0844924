package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/api/server"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/overlays"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/session"
)

// pages are the overlays and the HTTP server, with the sessions of the dashboard.
type pages struct {
	overlays *overlays.Service // set before the journal is said to be open
	readers  atomic.Int64      // of streams over HTTP

	mu          sync.Mutex
	opened      bool
	sessions    *session.Sessions // nil: there is no HTTP server
	certificate *web.Certificate  // nil: it serves without TLS
	url         string            // of the pages
}

// openOverlays opens the overlays. They show alerts once they run.
func (j *job) openOverlays(ctx context.Context, cfg *config.Config) (err error) {
	j.pages.overlays, err = overlays.Open(ctx, overlays.Config{
		Journal: j.data.journal, Settings: cfg.OverlaySettings(), Files: filepath.Join(j.data.dir, datadir.OverlaysDir), Log: j.log,
	})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	j.metrics.MustRegister(NewPageMetrics(j.pages.measure))
	return nil
}

// openPages starts the HTTP server, if the configuration has one.
func (j *job) openPages(ctx context.Context, o Options) error {
	defer j.pages.open()
	cfg := o.Config.HTTP
	if !cfg.Served() {
		return nil
	}
	l, err := j.listenPages(ctx, o)
	if l == nil {
		return err
	}
	stop, err := j.servePages(o, l)
	if err != nil {
		return errors.Join(exit.With(exit.Config, err), l.Close())
	}
	j.undo.Add("http", stop)
	if o.Simulation {
		return j.showPages(ctx, o.Notice)
	}
	return nil
}

// listenPages returns the listener of the pages, or nil if there is none, with or without an error.
func (j *job) listenPages(ctx context.Context, o Options) (net.Listener, error) {
	if o.Pages != nil {
		return o.Pages.listener, nil
	}
	address := o.Config.HTTP.Listen
	if o.Simulation && address == config.DefaultHTTPListen {
		return listenAnyPort(ctx)
	}
	l, err := listenHTTP(ctx, address)
	if err != nil && address == config.DefaultHTTPListen { // perhaps another relay listens there
		j.log.Warn().Err(err).Msg("dashboard, overlays and health checks are not served")
		return nil, nil
	}
	return l, err
}

// simulatedOverlay is the overlay of a simulation.
const simulatedOverlay = "main"

// showPages prints the addresses of the pages of a simulation, whose treats nobody paid for. They log in for an hour, and for good.
func (j *job) showPages(ctx context.Context, to io.Writer) error {
	st, err := j.pages.overlays.Create(ctx, simulatedOverlay)
	if err != nil {
		return err
	}
	key, _, err := st.NewKey(ctx, "")
	if err != nil {
		return err
	}
	at := j.pages.served()
	link := j.pages.sessions.NewLinkFor(session.Owner, time.Hour)
	_, err = fmt.Fprintf(to, "Dashboard: %s/#link=%s\nOverlay:   %s/overlay/%s#%s\n", at, link.Reveal(), at, simulatedOverlay, key.Reveal())
	return err
}

// nearPorts is how many ports, from that of the default of http.listen on, relay tries.
const nearPorts = 10

// listenAnyPort listens on the default of http.listen or, if that port is taken, on one of the next ones or on any free one.
func listenAnyPort(ctx context.Context) (net.Listener, error) {
	standard := netip.MustParseAddrPort(config.DefaultHTTPListen)
	for n := range uint16(nearPorts) {
		if l, err := listenHTTP(ctx, netip.AddrPortFrom(standard.Addr(), standard.Port()+n).String()); err == nil {
			return l, nil
		}
	}
	return listenHTTP(ctx, "127.0.0.1:0")
}

// lasting returns an address of listenAnyPort for http.listen, or "" if the system chose the port: that is for a moment, and others may get it later.
func lasting(at net.Addr) string {
	standard := netip.MustParseAddrPort(config.DefaultHTTPListen)
	if own, err := netip.ParseAddrPort(at.String()); err != nil || own.Port() < standard.Port() || own.Port() >= standard.Port()+nearPorts {
		return ""
	}
	return at.String()
}

// listenHTTP listens on http.listen.
func listenHTTP(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	fix := "choose another address"
	if errors.Is(err, syscall.EADDRINUSE) {
		fix = "stop what uses it or choose another address"
	}
	return nil, exit.With(exit.Unavailable, &advice.Error{Err: fmt.Errorf("listen on http.listen %s: %w", address, errors.Unwrap(err)), Fix: advice.Do(fix)})
}

const sessionsLost = "the sessions of the dashboard are not kept: the next restart signs everybody out"

// servePages serves the pages, the API behind them, health and metrics until stop is called.
func (j *job) servePages(o Options, l net.Listener) (stop func() error, err error) {
	cfg := o.Config.HTTP
	sessions, err := o.Pages.open(cfg)
	if err != nil {
		return nil, err
	}
	if err := sessions.Keep(filepath.Join(o.Dir, datadir.SessionsFile), func(err error) { j.log.Warn().Err(err).Msg(sessionsLost) }); err != nil {
		j.log.Warn().Err(err).Msg(sessionsLost)
	}
	var encryption *tls.Config
	var certificate *web.Certificate
	if cfg.TLS.CertFile != "" {
		if certificate, err = web.LoadCertificate(cfg.TLS.CertFile, cfg.TLS.KeyFile, j.log); err != nil {
			return nil, err
		}
		encryption = certificate.Config()
	}
	handler, err := web.New(web.Config{
		API: countReaders(&j.pages.readers, j.control.handler), Access: access(), Keys: j.pages.overlays.Keys(), Sessions: sessions, Health: j.health(), Assets: web.Assets(),
		Listen: l.Addr().String(), PublicURL: cfg.PublicURL, TrustedProxies: cfg.Proxies(), TLS: encryption != nil, Log: j.log,
	})
	if err != nil {
		return nil, err
	}
	hs := defaultHTTPLimits().server(handler, j.log)
	hs.TLSConfig = encryption
	var served sync.WaitGroup
	served.Go(func() {
		serve := func() error { return hs.Serve(l) }
		if encryption != nil {
			serve = func() error { return hs.ServeTLS(l, "", "") }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			j.log.Error().Err(err).Msg("http server ended")
		}
	})
	at := cfg.URL(l.Addr().String())
	j.pages.serve(sessions, certificate, at)
	if !cfg.Loopback() && !sessions.HasPassword() {
		j.log.Warn().Msg("the dashboard is open to other machines, and has no password: only relay dashboard logs in; set http.password_file")
	}
	j.log.Info().Str("url", at).Msg("dashboard, overlays, health and metrics are served")
	return func() error {
		err := hs.Close()
		served.Wait()
		return err
	}, nil
}

// health serves /healthz, /readyz and /metrics.
func (j *job) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{\"status\":\"ok\"}\n"))
	})
	mux.HandleFunc("GET /readyz", j.monitor.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(j.metrics.Registry, promhttp.HandlerOpts{}))
	return mux
}

// access returns a function that knows the least role of each request of the API.
func access() func(method, path string) session.Role {
	roles := map[api.Role]session.Role{api.Owner: session.Owner, api.Moderator: session.Moderator, api.Reader: session.Key}
	mux, least := http.NewServeMux(), make(map[string]session.Role)
	for _, o := range api.Operations() {
		pattern := o.Method + " " + api.Root + o.Path
		mux.Handle(pattern, http.NotFoundHandler())
		least[pattern] = roles[o.Role]
	}
	return func(method, path string) session.Role {
		_, pattern := mux.Handler(&http.Request{Method: method, Host: "localhost", URL: &url.URL{Path: path}})
		return least[pattern] // of an unknown request: none
	}
}

// open reports that the HTTP server runs, or that there is none.
func (p *pages) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = true
}

// serve sets what the HTTP server serves. certificate is nil without TLS.
func (p *pages) serve(sessions *session.Sessions, certificate *web.Certificate, at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions, p.certificate, p.url = sessions, certificate, at
}

// served returns the URL of the pages, or "" if relay serves none.
func (p *pages) served() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// link returns a link that logs in to the dashboard, for the sender of the request with that context.
func (p *pages) link(ctx context.Context, role api.Role) (api.Link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.opened:
		return api.Link{}, starting()
	case p.sessions == nil:
		return api.Link{}, api.NewProblem(http.StatusConflict, api.ProblemNoPages, "relay serves no pages: http.listen is off, or its port was in use at the start").
			WithFix(advice.Do("set http.listen to a free address and restart relay")).WithCode(exit.Unavailable)
	}
	as := session.Owner
	if role == api.Moderator {
		as = session.Moderator
	}
	link, err := p.sessions.NewLinkBy(ctx, as)
	if err != nil {
		return api.Link{}, fmt.Errorf("make a link: %w", err)
	}
	return api.Link{URL: p.url + "/#link=" + link.Reveal(), Expires: time.Now().Add(session.LinkLife).UTC()}, nil
}

// pageConfig is what the local API knows of the pages.
func (c *control) pageConfig() server.Pages {
	return server.Pages{
		Overlays: func(ctx context.Context) (server.Overlays, error) {
			if _, err := c.journal(ctx); err != nil {
				return nil, err
			}
			return c.job.pages.overlays, nil
		},
		Accounts: func() []string { return c.job.runners().cfg.AccountNames() },
		PageURL:  c.job.pages.served,
		NewLink:  c.job.pages.link,
	}
}
