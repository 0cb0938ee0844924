package sinks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"
)

// guard decides which addresses a sink may connect to. An address that the operator wrote as such, and localhost, are his
// choice; a name must lead to public addresses or to allowed networks, for whoever runs the name's DNS chooses them. Where
// a cloud hands out credentials nobody connects. Safe for use by several goroutines.
type guard struct {
	host   string // as it was written, and as errors show it
	chosen bool   // by the operator, who wrote an address
	local  bool   // localhost: only loopback
	allow  []netip.Prefix
	public *ssrf.Guardian
}

// newGuard makes the guard of a host that [parseHost] has passed.
func newGuard(host string, allow []netip.Prefix) *guard {
	_, err := netip.ParseAddr(host)
	return &guard{
		host: host, chosen: err == nil, local: host == "localhost", allow: allow,
		public: ssrf.New(ssrf.WithAnyPort()),
	}
}

// chosenGuard lets connections to every address of host but where a cloud hands out credentials: where it is, is the operator's choice, or
// that of a service he trusts.
func chosenGuard(host string) *guard { return &guard{host: host, chosen: true} }

// control is a [net.Dialer.ControlContext]. It sees each address just before a connection to it is made, so a name that
// resolves to something else the second time (DNS rebinding) gains nothing.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: not an address: %w", g.host, err)
	}
	return g.check(to.Addr())
}

func (g *guard) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	inner, embeds := embedded(addr)
	switch {
	case isMetadata(addr), embeds && isMetadata(inner):
		return fmt.Errorf("%s is at %v, where a cloud hands out credentials: relay never connects there, set another url", g.host, addr)
	case g.chosen:
		return nil
	case g.local:
		if addr.IsLoopback() {
			return nil
		}
		return fmt.Errorf("localhost is at %v, which is not this machine: mend the hosts file", addr)
	}
	allowed := func(a netip.Addr) bool {
		return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	// A gateway address is as good as the one inside it.
	if allowed(addr) && (!embeds || allowed(inner) || g.public.SafeAddr(inner) == nil) {
		return nil
	}
	if g.public.SafeAddr(addr) != nil {
		return fmt.Errorf("%s is at %v, which is not a public address: if that is where you want events sent, "+
			"set allow_networks: [%v], else mend the name", g.host, addr, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return nil
}

// isMetadata reports whether clouds serve credentials of the machine at addr, as their documentation has it.
func isMetadata(addr netip.Addr) bool {
	switch addr.String() {
	case "169.254.169.254", // AWS, Google, Azure, Oracle, DigitalOcean, Hetzner, OpenStack and others
		"169.254.170.2", "169.254.170.23", // AWS: ECS tasks, EKS pods
		"fd00:ec2::254", "fd00:ec2::23", // AWS over IPv6
		"fd20:ce::254",                 // Google over IPv6
		"168.63.129.16",                // Azure: WireServer
		"100.100.100.200",              // Alibaba
		"169.254.0.23",                 // Tencent
		"169.254.42.42", "fd00:42::42", // Scaleway
		"192.0.0.192": // Oracle, classic
		return true
	}
	return false
}

// isMetadataName is for requests through a proxy, which resolves the name.
func isMetadataName(host string) bool {
	switch strings.TrimSuffix(host, ".") {
	case "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com":
		return true
	}
	return false
}

// embedded returns the IPv4 address that an IPv6 address stands for.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	at := func(i int) (netip.Addr, bool) { return netip.AddrFrom4([4]byte(b[i : i+4])), true }
	within := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(addr) }
	switch {
	case within("2002::/16"): // 6to4 (RFC 3056)
		return at(2)
	case within("2001::/32"): // Teredo (RFC 4380): the client's address, its bits turned over
		for i := 12; i < 16; i++ {
			b[i] = ^b[i]
		}
		return at(12)
	case within("64:ff9b::/96"), within("64:ff9b:1::/48"), // NAT64 (RFC 6052, RFC 8215)
		within("::ffff:0:0:0/96"), // SIIT (RFC 2765)
		within("::/96"),           // IPv4-compatible (RFC 4291, section 2.5.5.1)
		b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP (RFC 5214)
		return at(12)
	}
	return netip.Addr{}, false
}

// parseHost checks the host of a URL, without a port and brackets, and returns the one way to write it, so that no
// resolver is asked for what is an address in disguise. Its errors hold nothing of the URL but the host.
func parseHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return plainAddress(addr)
	}
	if strings.Contains(host, "%") {
		return "", fmt.Errorf("holds the host %q, which is not an address: take out what begins with %%", host)
	}
	// As net/http does it, which maps full-width digits and the like to plain ones.
	plain, err := idna.Lookup.ToASCII(host)
	if err != nil {
		if plain = strings.ToLower(host); !isASCII(plain) {
			return "", fmt.Errorf("holds the host %q, which is not a name: write it in its plain form", host)
		}
	}
	rooted := strings.TrimSuffix(plain, ".")
	labels := strings.Split(rooted, ".")
	if last := labels[len(labels)-1]; isNumber(last) { // As the URL Standard has it, section 3.5.
		addr, ok := parseOddIPv4(labels)
		if !ok {
			return "", fmt.Errorf("holds the host %q, which ends in a number and is not an IPv4 address such as 192.0.2.1", host)
		}
		return "", fmt.Errorf("holds the host %q, which is %v in another spelling: write it like that", host, addr)
	}
	if addr, err := netip.ParseAddr(rooted); err == nil {
		return "", fmt.Errorf("holds the host %q, which is %v in another spelling: write it like that", host, addr)
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		}) {
			return "", fmt.Errorf("holds the host %q, which is not a name", host)
		}
	}
	if rooted == "localhost" {
		return rooted, nil
	}
	if len(rooted) > 253 {
		return "", errors.New("holds a host of more than 253 characters")
	}
	return plain, nil
}

func plainAddress(addr netip.Addr) (string, error) {
	plain := addr.WithZone("").Unmap()
	inner, embeds := embedded(plain)
	switch {
	case isMetadata(plain), embeds && isMetadata(inner):
		return "", fmt.Errorf("is %v, where a cloud hands out credentials: relay never connects there", addr)
	case plain.IsUnspecified():
		return "", fmt.Errorf("is %v, which is no destination: for this machine write 127.0.0.1 or [::1]", addr)
	case plain != addr:
		return "", fmt.Errorf("holds the host %q, which is %v in another spelling: write it like that", addr.String(), plain)
	}
	return plain.String(), nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// isNumber reports whether an old resolver would take the last part of a host for a number.
func isNumber(part string) bool {
	if digits, ok := strings.CutPrefix(part, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return part != "" && strings.Trim(part, "0123456789") == ""
}

// number reads a part of an IPv4 address as inet_aton does: 0x is hexadecimal, a leading 0 octal.
func number(part string) (uint64, error) {
	if digits, ok := strings.CutPrefix(part, "0x"); ok {
		if digits == "" {
			return 0, nil
		}
		return strconv.ParseUint(digits, 16, 64)
	}
	if len(part) > 1 && part[0] == '0' {
		return strconv.ParseUint(part[1:], 8, 64)
	}
	return strconv.ParseUint(part, 10, 64)
}

// parseOddIPv4 reads what inet_aton would: one to four numbers, of which the last fills the rest.
func parseOddIPv4(parts []string) (netip.Addr, bool) {
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var whole uint64
	for i, p := range parts {
		n, err := number(p)
		limit := uint64(1) << 8
		if i == len(parts)-1 {
			limit = 1 << (8 * (5 - len(parts)))
		}
		if err != nil || n >= limit {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			whole |= n
		} else {
			whole |= n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
}

// parseNetworks reads allow_networks: networks as in 192.168.1.0/24, and single addresses.
func parseNetworks(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if addr, err2 := netip.ParseAddr(text); err2 == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network: write it like 192.168.1.0/24 or fd00::/8", text)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}
