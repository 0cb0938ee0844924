package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/cmd/relay/internal/historyhttp"
	"github.com/treatrelay/relay/internal/loopback"
)

// CheckURL accepts https, and plain http to this machine. Its errors do not quote the URL, which may hold a token.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("want a URL such as https://HOST/PATH")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("the URL must be without user, password and #")
	}
	if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		return errors.New("plain http goes to localhost only: use https")
	}
	return nil
}

// checkNATS does not quote the URL, which may hold a password.
func checkNATS(servers string) error {
	for server := range strings.SplitSeq(servers, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("want a URL such as nats://HOST:4222 or tls://HOST:4222, several with commas between")
		}
	}
	return nil
}

func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return errors.New("want an address and a port, such as 127.0.0.1:4222")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && (strings.Trim(host, "0123456789.") == "" || strings.ContainsFunc(host, unicode.IsSpace)) {
		return errors.New("want an address and a port, such as 127.0.0.1:4222: the address is none")
	}
	return nil
}

// isURLKey reports whether a key is a URL.
func isURLKey(path string) bool {
	rest, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		rest, key = path[:i], path[i+1:]
	}
	switch key {
	case "url", "proxy":
		return true
	}
	return strings.HasSuffix(key, "_url") || strings.HasSuffix(rest, ".endpoints") || strings.HasSuffix(rest, ".thumbnails")
}

// trimURL takes blanks off the ends of a URL, and of each of several NATS servers. It refuses blanks within, and a port that cannot be.
// Control characters are for others to refuse. Its errors do not quote it.
func trimURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	parts := []string{text}
	if scheme, _, ok := strings.Cut(text, "://"); ok && slices.Contains([]string{"nats", "tls", "ws", "wss"}, scheme) {
		parts = strings.Split(text, ",")
	}
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if parts[i] = part; strings.ContainsRune(part, ' ') {
			return text, errors.New("there is a blank in the URL: take it out, or write %20 if it belongs there")
		}
		u, err := url.Parse(part)
		if err != nil || u.Port() == "" {
			continue
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return text, errors.New("the port must be a number from 1 to 65535")
		}
	}
	return strings.Join(parts, ","), nil
}

// checkEndpoint checks the URL of endpoints.KEY. Its errors do not quote the URL.
func checkEndpoint(key, text string) error {
	if err := CheckURL(text); err != nil || key != "history" {
		return err
	}
	_, err := historyhttp.ParseURL(text)
	return err
}
