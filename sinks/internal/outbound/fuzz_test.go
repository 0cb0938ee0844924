package outbound

import (
	"net/netip"
	"strings"
	"testing"
)

// A host that is taken is an address in its plain form, or a name that no resolver takes for a number; and it stays as it is.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"bot.example", "127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "0x7f.1", "1.2.3.4.", "localhost.", "bücher.example", "１２７.1", "a_b",
	} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		plain, err := parseHost(host)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %q has several lines", host, err)
			}
			return
		}
		if again, err := parseHost(plain); err != nil || again != plain {
			t.Errorf("%q is taken as %q, which gives %q, %v", host, plain, again, err)
		}
		addr, err := netip.ParseAddr(plain)
		inner, _ := embedded(addr)
		switch {
		case err == nil && (addr.Is4In6() || addr.Zone() != "" || addr.String() != plain || isMetadata(addr) || isMetadata(inner)):
			t.Errorf("%q is taken as %v", host, addr)
		case err != nil && (strings.Trim(plain[strings.LastIndexByte(strings.TrimSuffix(plain, "."), '.')+1:], "0123456789.") == "" || !isASCII(plain)):
			t.Errorf("%q is taken as %q", host, plain)
		}
	})
}
