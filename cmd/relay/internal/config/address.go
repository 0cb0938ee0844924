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

// CheckURL accepts https URLs, and http URLs of this machine. Its errors do not quote the URL, because it may contain a token.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("want a URL such as https://HOST/PATH")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("the URL must be without user, password and #")
	}
	if u.Scheme == "http" && !loopback.Is(u.Hostname()) {
		return errors.New("plain http is only for localhost: use https")
	}
	return nil
}

// checkNATS accepts the URLs of NATS servers, separated by commas. Its errors do not quote them, because they may contain a password.
func checkNATS(servers string) error {
	for server := range strings.SplitSeq(servers, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return errors.New("want a URL such as nats://HOST:4222 or tls://HOST:4222, or several separated by commas")
		}
	}
	return nil
}

// checkListen accepts an address and port to listen on.
func checkListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return errors.New("want an address and a port, such as 127.0.0.1:4222")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && (strings.Trim(host, "0123456789.") == "" || strings.ContainsFunc(host, unicode.IsSpace)) {
		return errors.New("want an address and a port, such as 127.0.0.1:4222: the address is invalid")
	}
	return nil
}

// sameListen reports whether two servers cannot listen on these addresses at the same time.
func sameListen(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return host == "" || err == nil && addr.IsUnspecified()
	}
	return hostA == hostB || every(hostA) || every(hostB)
}

// trimURL removes blanks around a URL, or around each of several NATS servers. It rejects blanks inside and invalid ports, but not control
// characters. Its errors do not quote the URL.
func trimURL(text string) (string, error) {
	text = strings.TrimSpace(text)
	parts := []string{text}
	if scheme, _, ok := strings.Cut(text, "://"); ok && slices.Contains([]string{"nats", "tls", "ws", "wss"}, scheme) {
		parts = strings.Split(text, ",")
	}
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if parts[i] = part; strings.ContainsRune(part, ' ') {
			return text, errors.New("the URL contains a blank: remove it, or write %20 if it belongs there")
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

// checkEndpoint checks the URL of a key of endpoints. Its errors do not quote the URL.
func checkEndpoint(key, text string) error {
	if err := CheckURL(text); err != nil || key != "history" {
		return err
	}
	_, err := historyhttp.ParseURL(text)
	return err
}
