package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/treatrelay/relay/internal/problem"
)

// hosts are the names and addresses by which browsers may reach the server. Others may be a domain whose owner points it here, so that the pages of
// that domain count as relay's own (DNS rebinding).
type hosts struct {
	names     map[string]bool
	addresses map[netip.Addr]bool
	// anyAddress is true if the server listens on all addresses. Whichever a browser uses: an address cannot be pointed elsewhere.
	anyAddress bool

	public       string // the host of http.public_url, if that has TLS
	publicOrigin string // of http.public_url
}

func newHosts(listen, publicURL string) (hosts, error) {
	h := hosts{names: map[string]bool{"localhost": true}, addresses: make(map[netip.Addr]bool)}
	name, _, err := net.SplitHostPort(listen)
	if err != nil {
		return hosts{}, fmt.Errorf("use http.listen %s: %w; write it like 127.0.0.1:8350", listen, err)
	}
	if name == "" {
		h.anyAddress = true
	} else if err := h.add(name); err != nil {
		return hosts{}, fmt.Errorf("use http.listen %s: %w; write it like 127.0.0.1:8350", listen, err)
	}
	if publicURL == "" {
		return h, nil
	}
	u, err := url.Parse(publicURL)
	switch {
	case err != nil:
		err = errors.New("it is no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		err = errors.New("its scheme is not http or https")
	case u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		err = errors.New("it has more than a scheme, a host and a port")
	default:
		err = h.add(u.Host)
	}
	if err != nil { // without the URL, which may contain a password
		return hosts{}, fmt.Errorf("use http.public_url: %w; write it like https://relay.example.com", err)
	}
	if err := http.NewCrossOriginProtection().AddTrustedOrigin(u.Scheme + "://" + strings.ToLower(u.Host)); err != nil {
		return hosts{}, errors.New("use http.public_url: browsers do not accept it; write it like https://relay.example.com")
	}
	h.publicOrigin = u.Scheme + "://" + strings.ToLower(u.Host)
	if u.Scheme == "https" {
		h.public, _ = hostOf(u.Host)
	}
	return h, nil
}

// CheckPublicURL returns an error if a URL cannot be the Config.PublicURL.
func CheckPublicURL(publicURL string) error {
	_, err := newHosts("127.0.0.1:0", publicURL)
	return err
}

// add allows a host of the configuration.
func (h *hosts) add(name string) error {
	if strings.Count(name, ":") > 1 && !strings.Contains(name, "]") { // SplitHostPort removed the brackets
		address, _, _ := strings.Cut(name, "%") // browsers send no zone
		name = "[" + address + "]"
	}
	host, ok := hostOf(name)
	if !ok {
		return fmt.Errorf("%q is no host", name)
	}
	if at, err := netip.ParseAddr(host); err == nil {
		h.anyAddress = h.anyAddress || at.IsUnspecified()
		h.addresses[at] = true
	} else {
		h.names[host] = true
	}
	return nil
}

// allow reports whether a request with this Host header is answered.
func (h *hosts) allow(header string) bool {
	host, ok := hostOf(header)
	if !ok {
		return false
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return h.names[host]
	}
	return at.IsLoopback() || h.anyAddress || h.addresses[at]
}

// publicTLS reports whether a request with this Host header came through the proxy at an http.public_url with TLS.
func (h *hosts) publicTLS(header string) bool {
	host, ok := hostOf(header)
	return ok && h.public != "" && host == h.public
}

// hostOf returns the host in a Host header without the port: a name in lower case without a dot at its end, or an address in its usual form. It
// reports false if the header is malformed.
func hostOf(header string) (string, bool) {
	host := header
	if i := strings.LastIndexByte(header, ':'); i >= 0 && !strings.HasSuffix(header, "]") {
		port := header[i+1:]
		host = header[:i]
		if port == "" || strings.Trim(port, "0123456789") != "" || len(port) > 5 {
			return "", false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		at, err := netip.ParseAddr(inner)
		if !closed || err != nil || !at.Is6() || at.Zone() != "" {
			return "", false
		}
		return at.Unmap().String(), true
	}
	if at, err := netip.ParseAddr(host); err == nil && at.Is4() {
		return at.String(), true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if len(host) > 253 || slices.Contains(strings.Split(host, "."), "") || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", false
	}
	return host, true
}

func wrongHost(host string) *problem.Problem {
	return problem.New(http.StatusMisdirectedRequest, "wrong-host", fmt.Sprintf("relay does not answer requests for the host %.80q", host),
		"open it by http://127.0.0.1 or the host of http.listen, or set http.public_url to the address that browsers use")
}

// plain reports whether a path means the same to every reader, decoded or not: it has no segments that are empty or dots, and no
// encoded slashes, backslashes or control characters.
func plain(u *url.URL) bool {
	if !strings.HasPrefix(u.Path, "/") || u.Opaque != "" {
		return false
	}
	// Only an encoded slash makes the decoded path have more of them.
	if strings.Count(u.Path, "/") != strings.Count(u.EscapedPath(), "/") {
		return false
	}
	for _, c := range u.Path {
		if c < ' ' || c == 0x7f || c == '\\' || c == 0xfffd {
			return false
		}
	}
	segments := strings.Split(u.Path[1:], "/")
	for i, s := range segments {
		if s == "." || s == ".." || s == "" && i < len(segments)-1 {
			return false
		}
	}
	return true
}
