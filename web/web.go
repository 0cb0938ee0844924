// Package web serves relay's pages and the HTTP API behind them: the dashboard for people who log in, and the overlay for programs with a key.
//
// It has no business logic. It decides who may send which request, and passes the request to the handler of the local API. The pages are static
// files without any data; their scripts get everything from the API.
package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/treatrelay/relay/internal/problem"
	"github.com/treatrelay/relay/web/session"
)

// Root is the path of the API.
const Root = "/api/v1"

// Config says what to serve. Its functions and interfaces are called by several goroutines.
type Config struct {
	// API serves everything below [Root]. It gets only requests whose sender is authorized, without the sender's key or cookie, and with their bodies
	// in memory. Streams need no deadline of their own: a reader that takes nothing for 30 s is dropped.
	API http.Handler
	// Access returns the least role that a request needs. The path begins with [Root] and is decoded; no segment of it is empty, has a slash in it,
	// or is one or two dots. [session.None] stands for an unknown request, which only the owner may send.
	Access func(method, path string) session.Role
	// Keys knows the keys of overlays; nil: there are none.
	Keys Keys
	// Sessions knows who is logged in.
	Sessions *session.Sessions
	// Health serves /healthz, /readyz and /metrics for everybody; nil: they do not exist.
	Health http.Handler
	// Assets are the static files: dashboard/index.html and overlay/index.html are pages, everything else is below /assets/.
	Assets fs.FS
	// Listen is the address on which the server listens, as host and port. PublicURL is how browsers reach it otherwise, for example through a
	// proxy; it has no path. Empty: they do not.
	Listen, PublicURL string
	// TrustedProxies have the addresses of the reverse proxies whose headers X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host and Forwarded say
	// who the client is and how it reached them. From others, these headers mean nothing.
	TrustedProxies []netip.Prefix
	// TLS is true if the server itself speaks TLS.
	TLS bool
	Log zerolog.Logger
}

// Keys finds the overlay that a key is for.
type Keys interface {
	// Check returns the overlay, or false if there is no such key. It is called for each request, and once a second while a stream is open, so that
	// a key that is revoked ends its streams.
	Check(ctx context.Context, key string) (Overlay, bool)
}

// Overlay is what a key is for.
type Overlay struct {
	Name    string
	Account string // the only account whose events the key may read; empty: all
}

type handler struct {
	Config
	hosts   hosts
	proxies proxies
	origin  *http.CrossOriginProtection
	static  *static

	refused, limited, unnamed, faults rate.Sometimes // how often the log mentions these attempts to log in
}

// New returns a handler for the HTTP server. The server bounds the headers of requests and the time that they take to arrive; the handler does both
// for bodies. The error says what in the configuration is wrong.
func New(cfg Config) (http.Handler, error) {
	if cfg.API == nil || cfg.Access == nil || cfg.Sessions == nil || cfg.Assets == nil {
		return nil, errors.New("serve the pages: API, Access, Sessions and Assets must be set")
	}
	h := &handler{
		Config: cfg, proxies: cfg.TrustedProxies, origin: http.NewCrossOriginProtection(),
		refused: rate.Sometimes{Interval: time.Minute}, limited: rate.Sometimes{Interval: time.Minute},
		unnamed: rate.Sometimes{Interval: time.Minute}, faults: rate.Sometimes{Interval: time.Minute},
	}
	var err error
	if h.hosts, err = newHosts(cfg.Listen, cfg.PublicURL); err != nil {
		return nil, err
	}
	if h.hosts.publicOrigin != "" {
		if err := h.origin.AddTrustedOrigin(h.hosts.publicOrigin); err != nil {
			return nil, fmt.Errorf("use http.public_url %s: %w", cfg.PublicURL, err)
		}
	}
	if h.static, err = newStatic(cfg.Assets); err != nil {
		return nil, err
	}
	return h, nil
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if h.Health != nil && (path == "/healthz" || path == "/readyz" || path == "/metrics") {
		h.Health.ServeHTTP(w, r)
		return
	}
	secure(w.Header())
	host, wrong := h.wrongHost(r)
	switch {
	case wrong:
		refuse(w, r, wrongHost(host))
	case !plain(r.URL):
		refuse(w, r, problem.New(http.StatusBadRequest, "usage", "the path of the request has empty or encoded parts that relay does not use", ""))
	case path == Root || strings.HasPrefix(path, Root+"/"):
		h.api(w, r)
	case path == "/session":
		h.session(w, r)
	default:
		h.static.serve(w, r)
	}
}

// encrypted reports whether the browser sent the request over TLS, to relay itself or to a proxy: the one at http.public_url, or a trusted one.
func (h *handler) encrypted(r *http.Request) bool {
	return h.TLS || r.TLS != nil || h.hosts.publicTLS(r.Host) || h.proxies.encrypted(r)
}

// wrongHost returns a host of the request by which nobody may reach the server, in its own header or in that of a trusted proxy.
func (h *handler) wrongHost(r *http.Request) (host string, wrong bool) {
	for _, host := range append(h.proxies.hosts(r), r.Host) {
		if !h.hosts.allow(host) {
			return host, true
		}
	}
	return "", false
}
