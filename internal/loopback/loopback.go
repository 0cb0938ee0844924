// Package loopback recognizes the hosts to which plain http and secrets in the clear are allowed: those that are this
// machine.
package loopback

import (
	"net/netip"
	"strings"
)

// Is reports whether host is this machine, judged by its spelling alone: no name is looked up. Host is what
// [net/url.URL.Hostname] returns; an IPv6 address may still be in brackets and may have a zone.
//
// True are localhost, in any case and with or without the dot of the root, ::1, all of 127.0.0.0/8, and these IPv4 addresses
// mapped to IPv6. Everything else is false, in particular names below localhost, which a resolver may ask the network for,
// and spellings of an address that Go does not parse, such as 127.1 or 127.0.0.1 with a dot behind it.
func Is(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.IsLoopback()
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")) == "localhost"
}
