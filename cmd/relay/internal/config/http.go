package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/loopback"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/session"
)

// DefaultHTTPListen is where the pages and the health checks are.
const DefaultHTTPListen = "127.0.0.1:8350"

// Off is the value of http.listen without an HTTP server.
const Off = "off"

// HTTP is the section http.
type HTTP struct {
	// Where relay serves the dashboard, the overlays, `/healthz`, [`/readyz`](operating.md#ready-or-not) and `/metrics`. `off`: nowhere. See
	// [access from elsewhere](operating.md#access-from-elsewhere) before you choose an address that other machines reach.
	Listen string `yaml:"listen" value:"address and port, or 'off'"`
	// The URL of the pages in browsers, without a path, if it is not that address: `https://relay.example.com` behind a reverse proxy.
	PublicURL string `yaml:"public_url" value:"URL"`
	// The addresses of your reverse proxies, as in `[127.0.0.1, 10.0.0.0/8]`. Relay takes the address of the client from their headers
	// `X-Forwarded-For` or `Forwarded`, and believes nobody else's. See [behind a proxy](dashboard.md#behind-a-proxy).
	TrustedProxies []string `yaml:"trusted_proxies" value:"list of addresses and networks"`
	// The file with the password of the dashboard: one line of at least 12 characters. Without it only the command `dashboard` opens the dashboard. A new
	// password counts at once, and ends the sessions of the old one.
	PasswordFile string `yaml:"password_file"`
	// The file with another password, for moderators: they see everything except the configuration, control the overlays, and change nothing else.
	ModeratorPasswordFile string `yaml:"moderator_password_file"`
	// The certificate of the server. Relay reads its files again when they change.
	TLS ServerTLS `yaml:"tls"`
}

// ServerTLS is the section http.tls.
type ServerTLS struct {
	// The certificate of the server with its chain, in PEM. With it the pages are on https only.
	CertFile string `yaml:"cert_file"`
	// The private key of that certificate, in PEM.
	KeyFile string `yaml:"key_file"`
}

// Served reports whether there is an HTTP server.
func (h HTTP) Served() bool { return h.Listen != Off }

// Loopback reports whether only this machine can reach the server.
func (h HTTP) Loopback() bool {
	host, _, err := net.SplitHostPort(h.Listen)
	return err == nil && loopback.Is(host)
}

// Proxies returns the addresses of the trusted proxies.
func (h HTTP) Proxies() []netip.Prefix {
	all, _ := web.ParseProxies(h.TrustedProxies) // check reported the errors
	return all
}

// URL returns how browsers reach the pages, without a slash at the end: by public_url, or else at the address of the server. If that listens
// already, actual is its address. Without a server the URL is empty.
func (h HTTP) URL(actual string) string {
	switch {
	case !h.Served():
		return ""
	case h.PublicURL != "":
		return strings.TrimSuffix(h.PublicURL, "/")
	}
	scheme := "http"
	if h.TLS.CertFile != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(h.Listen)
	if _, taken, actualErr := net.SplitHostPort(actual); actualErr == nil {
		port = taken
	}
	if addr, badAddr := netip.ParseAddr(host); err != nil || host == "" || badAddr == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (h HTTP) check(d *decoder, file *sections) {
	if (h.TLS.CertFile == "") != (h.TLS.KeyFile == "") {
		d.reject("http.tls", "wants both cert_file and key_file, or neither")
	}
	if d.given("http.public_url") {
		d.check("http.public_url", checkPublicURL(h.PublicURL))
	}
	_, errs := web.ParseProxies(h.TrustedProxies)
	for i, err := range errs {
		d.check(fmt.Sprintf("http.trusted_proxies[%d]", i), err)
	}
	h.checkFiles(d)
	if !h.Served() {
		return
	}
	d.check("http.listen", checkListen(h.Listen))
	if !file.runsNATS() {
		return
	}
	for key, other := range map[string]string{"nats.listen": file.NATS.Listen, "nats.websocket": file.NATS.Websocket} {
		if sameListen(h.Listen, other) {
			d.reject("http.listen", "is the address of "+key+" too: choose another port")
		}
	}
}

// checkFiles checks the contents of the files that the section names, at a start of relay.
func (h HTTP) checkFiles(d *decoder) {
	if !d.files || d.faults.under["http"] {
		return
	}
	for at, file := range map[string]string{
		"http.password_file": h.PasswordFile, "http.moderator_password_file": h.ModeratorPasswordFile, "http.tls.key_file": h.TLS.KeyFile,
	} {
		if file != "" {
			d.kept[at] = file
		}
	}
	for _, files := range []session.Config{
		{PasswordFile: h.PasswordFile},
		{ModeratorPasswordFile: h.ModeratorPasswordFile},
		{PasswordFile: h.PasswordFile, ModeratorPasswordFile: h.ModeratorPasswordFile}, // which must differ
	} {
		_, err := session.New(files)
		if f, ok := errors.AsType[*session.FileError](err); ok {
			d.check(f.Key, f.Err)
		}
	}
	if h.TLS.CertFile != "" {
		_, err := web.LoadCertificate(h.TLS.CertFile, h.TLS.KeyFile, zerolog.Nop())
		d.check("http.tls", err)
	}
}

func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return errors.New("want a URL such as https://relay.example.com, without a path")
	}
	if web.CheckPublicURL(text) != nil {
		return errors.New("want the name or address of a host, as in https://relay.example.com; a name with other letters than a to z has a form with xn--")
	}
	return nil
}
