package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// parseHost checks the host of a URL, without port and brackets, and returns its only accepted spelling, so that no
// resolver gets a disguised address. Its errors have no part of the URL except the host.
func parseHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return plainAddress(addr)
	}
	if strings.Contains(host, "%") {
		return "", fmt.Errorf("has the host %q, which is not an address: take out what begins with %%", host)
	}
	// Like net/http, which maps full-width digits and the like to ASCII.
	plain, err := idna.Lookup.ToASCII(host)
	if err != nil {
		if plain = strings.ToLower(host); !isASCII(plain) {
			return "", fmt.Errorf("has the host %q, which is not a name: write it in its plain form", host)
		}
	}
	rooted := strings.TrimSuffix(plain, ".")
	labels := strings.Split(rooted, ".")
	if last := labels[len(labels)-1]; isNumber(last) { // URL Standard, section 3.5
		addr, ok := parseOddIPv4(labels)
		if !ok {
			return "", fmt.Errorf("has the host %q, which ends in a number and is not an IPv4 address such as 192.0.2.1", host)
		}
		return "", fmt.Errorf("has the host %q, which is %v in another spelling: write it like that", host, addr)
	}
	if addr, err := netip.ParseAddr(rooted); err == nil {
		return "", fmt.Errorf("has the host %q, which is %v in another spelling: write it like that", host, addr)
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		}) {
			return "", fmt.Errorf("has the host %q, which is not a name", host)
		}
	}
	if rooted == "localhost" {
		return rooted, nil
	}
	if len(rooted) > 253 {
		return "", errors.New("has a host of more than 253 characters")
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
		return "", fmt.Errorf("has the host %q, which is %v in another spelling: write it like that", addr.String(), plain)
	}
	return plain.String(), nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// isNumber reports whether an old resolver would read the last label of a host as a number.
func isNumber(part string) bool {
	if digits, ok := strings.CutPrefix(part, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return part != "" && strings.Trim(part, "0123456789") == ""
}

// number parses a part of an IPv4 address like inet_aton: 0x is hexadecimal, a leading 0 octal.
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

// parseOddIPv4 parses the spellings that inet_aton accepts: one to four numbers, the last of which fills the remaining
// bytes.
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

// ParseNetworks parses allow_networks: networks such as 192.168.1.0/24, and single addresses.
func ParseNetworks(texts []string) ([]netip.Prefix, error) {
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
