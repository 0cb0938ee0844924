package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/treatrelay/relay/internal/loopback"
)

// DefaultHTTPListen is where the pages and the health checks are.
const DefaultHTTPListen = "127.0.0.1:8350"

// Off is the value of http.listen without an HTTP server.
const Off = "off"

// HTTP is the section http.
type HTTP struct {
	// Where relay serves the dashboard, the overlays, `/healthz`, [`/readyz`](operating.md#ready-or-not) and `/metrics`. On another address than
	// loopback, the dashboard wants a password. `off`: nowhere.
	Listen string `yaml:"listen" value:"address and port, or 'off'"`
	// How browsers reach the pages if not by that address, for example through a proxy: `https://relay.example.com`, without a path.
	PublicURL string `yaml:"public_url" value:"URL"`
	// The file with the password of the dashboard, at least 12 characters. Without one, only `relay dashboard` opens it.
	PasswordFile string `yaml:"password_file"`
	// The file with another password, for moderators: they see everything but the configuration, and control the overlays.
	ModeratorPasswordFile string `yaml:"moderator_password_file"`
	// The certificate of the server, in files that are read again when they change.
	TLS ServerTLS `yaml:"tls"`
}

// ServerTLS is the section http.tls.
type ServerTLS struct {
	// The certificate with its chain, PEM, together with `key_file`.
	CertFile string `yaml:"cert_file"`
	// The key of that certificate, PEM.
	KeyFile string `yaml:"key_file"`
}

// Served reports whether there is an HTTP server.
func (h HTTP) Served() bool { return h.Listen != "" && h.Listen != Off }

// Loopback reports whether only this machine can reach the server.
func (h HTTP) Loopback() bool {
	host, _, err := net.SplitHostPort(h.Listen)
	return err == nil && loopback.Is(host)
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

func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return errors.New("want a URL such as https://relay.example.com, without a path")
	}
	return nil
}
