package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ParseProxies reads http.trusted_proxies: addresses and CIDR networks. It returns an error for each text that is neither, at its index, and nil at
// the others; errs is nil if there is none.
func ParseProxies(texts []string) (proxies []netip.Prefix, errs []error) {
	for i, text := range texts {
		one, err := parseProxy(text)
		if err != nil {
			if errs == nil {
				errs = make([]error, len(texts))
			}
			errs[i] = err
			continue
		}
		proxies = append(proxies, one)
	}
	return proxies, errs
}

func parseProxy(text string) (netip.Prefix, error) {
	if at, err := netip.ParseAddr(text); err == nil && at.Zone() == "" {
		at = at.Unmap()
		return netip.PrefixFrom(at, at.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("want an address or a network such as 127.0.0.1 or 10.0.0.0/8, got %.80q", text)
	case p.Bits() == 0:
		return p, errors.New("trusts every client, and a client can send any address: name only the addresses of your proxies")
	case p.Addr().Is4In6():
		return p, fmt.Errorf("write the IPv4 network without ::ffff:, got %.80q", text)
	case p != p.Masked():
		return p, fmt.Errorf("has bits beyond the length of its prefix: write %s", p.Masked())
	}
	return p, nil
}

// proxies are the reverse proxies whose headers about the client are believed.
type proxies []netip.Prefix

func (p proxies) trust(at netip.Addr) bool {
	return at.IsValid() && slices.ContainsFunc(p, func(one netip.Prefix) bool { return one.Contains(at) })
}

// peer returns the address at the other end of the connection, the invalid one if the server does not know it.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// client returns the address of the client. It is that of the peer, except for a trusted proxy: then it is the last address in X-Forwarded-For or
// Forwarded that no trusted proxy has. Everything before that one may be the client's invention. The address is invalid if the server does not
// know it.
func (p proxies) client(r *http.Request) netip.Addr {
	at := peer(r)
	if !p.trust(at) {
		return at
	}
	xff, forwarded := r.Header.Values("X-Forwarded-For"), r.Header.Values("Forwarded")
	if len(xff) == 0 && len(forwarded) == 0 {
		return at
	}
	// A proxy sets one of the two headers, and may pass on the other as the client sent it. If they disagree, nobody knows which one to believe.
	byXFF, byForwarded := p.last(at, splitForwardedFor(xff)), p.last(at, forwardedFor(forwarded))
	switch {
	case len(forwarded) == 0 || byXFF == byForwarded:
		return byXFF
	case len(xff) == 0:
		return byForwarded
	}
	return at
}

// last returns the last address that is no trusted proxy. An address that is missing ends the search: the proxy that left it out stands for it.
func (p proxies) last(at netip.Addr, hops []netip.Addr) netip.Addr {
	for _, hop := range slices.Backward(hops) {
		if !hop.IsValid() {
			return at
		}
		if at = hop; !p.trust(at) {
			return at
		}
	}
	return at
}

// encrypted reports whether a trusted proxy says that the browser uses TLS.
func (p proxies) encrypted(r *http.Request) bool {
	if !p.trust(peer(r)) {
		return false
	}
	if first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ","); strings.TrimSpace(first) != "" {
		return strings.EqualFold(strings.TrimSpace(first), "https")
	}
	hops, ok := parseForwarded(r.Header.Values("Forwarded"))
	return ok && len(hops) > 0 && strings.EqualFold(hops[0]["proto"], "https")
}

// hosts returns the hosts that trusted proxies say the browser used.
func (p proxies) hosts(r *http.Request) []string {
	if !p.trust(peer(r)) {
		return nil
	}
	var all []string
	for _, line := range r.Header.Values("X-Forwarded-Host") {
		for host := range strings.SplitSeq(line, ",") {
			all = append(all, strings.TrimSpace(host))
		}
	}
	return all
}

// unknownProxy reports whether a proxy seems to have passed on a request that http.trusted_proxies does not name.
func (p proxies) unknownProxy(r *http.Request) bool {
	return !p.trust(peer(r)) && (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "")
}

// splitForwardedFor returns the addresses in X-Forwarded-For, the invalid one for what is no address.
func splitForwardedFor(lines []string) []netip.Addr {
	var hops []netip.Addr
	for _, line := range lines {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, addressOf(strings.TrimSpace(hop)))
		}
	}
	return hops
}

// forwardedFor returns the addresses in Forwarded, the invalid one for what is no address. Of a malformed header it believes nothing.
func forwardedFor(lines []string) []netip.Addr {
	all, ok := parseForwarded(lines)
	if !ok {
		return nil
	}
	hops := make([]netip.Addr, len(all))
	for i, one := range all {
		hops[i] = addressOf(one["for"])
	}
	return hops
}

// addressOf reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1] or [2001:db8::1]:80.
func addressOf(text string) netip.Addr {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, _, ok = strings.Cut(inner, "]")
		if !ok {
			return netip.Addr{}
		}
		text = inner
	} else if strings.Count(text, ":") == 1 {
		text, _, _ = strings.Cut(text, ":")
	}
	at, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return at.Unmap().WithZone("")
}
