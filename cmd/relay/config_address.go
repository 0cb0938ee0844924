package main

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkURL accepts https, and plain http to this machine. Its errors do not quote the URL, which may hold a token.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("want a URL such as https://HOST/PATH")
	}
	if u.User != nil || u.Fragment != "" {
		return errors.New("the URL must be without user, password and #")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return errors.New("plain http goes to localhost only: use https")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
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
	_, port, err := net.SplitHostPort(address)
	if _, notNumber := strconv.ParseUint(port, 10, 16); err != nil || notNumber != nil {
		return errors.New("want an address and a port, such as 127.0.0.1:4222")
	}
	return nil
}
