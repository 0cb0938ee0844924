package outbound

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// Guard decides which addresses a sink may connect to. An address in the configuration, and localhost, are the choice
// of the operator. A name must resolve to public addresses or to allowed networks, because whoever controls its DNS
// chooses the addresses. No sink connects to addresses where clouds serve credentials. A Guard is safe for concurrent
// use.
type Guard struct {
	host   string // as configured, for errors
	chosen bool   // the operator chose the address
	local  bool   // the host is localhost: allow only loopback
	allow  []netip.Prefix
	public *ssrf.Guardian
}

// NewGuard returns the guard for a host that ParseURL has accepted.
func NewGuard(host string, allow []netip.Prefix) *Guard {
	_, err := netip.ParseAddr(host)
	return &Guard{
		host: host, chosen: err == nil, local: host == "localhost", allow: allow,
		public: ssrf.New(ssrf.WithAnyPort()),
	}
}

// ChosenGuard returns a guard that allows every address of host except those where clouds serve credentials. The
// operator, or a service the operator trusts, chooses the address.
func ChosenGuard(host string) *Guard { return &Guard{host: host, chosen: true} }

// control is a [net.Dialer.ControlContext]. It sees each address just before the connection, so a name that resolves to
// another address the second time (DNS rebinding) does not get past it.
func (g *Guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: not an address: %w", g.host, err)
	}
	return g.Check(to.Addr())
}

// Check returns why relay must not connect to an address, or nil.
func (g *Guard) Check(addr netip.Addr) error {
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
		return fmt.Errorf("localhost is at %v, which is not this machine: correct the hosts file", addr)
	}
	allowed := func(a netip.Addr) bool {
		return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	// An address that embeds another one is allowed only if that one is too.
	if allowed(addr) && (!embeds || allowed(inner) || g.public.SafeAddr(inner) == nil) {
		return nil
	}
	if g.public.SafeAddr(addr) != nil {
		return fmt.Errorf("%s is at %v, which is not a public address: if that is where you want events sent, "+
			"set allow_networks: [%v], else correct the name", g.host, addr, netip.PrefixFrom(addr, addr.BitLen()))
	}
	return nil
}

// isMetadata reports whether clouds serve credentials of the machine at addr, according to their documentation.
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

// IsMetadataName reports whether host names a metadata service of a cloud. It is for requests through a proxy, which
// resolves the name itself.
func IsMetadataName(host string) bool {
	switch strings.TrimSuffix(host, ".") {
	case "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com":
		return true
	}
	return false
}

// embedded returns the IPv4 address inside an IPv6 address, if there is one.
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
	case within("2001::/32"): // Teredo (RFC 4380): the client's address, its bits inverted
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
