package loopback

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestIs(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "localhost.": true,
		"127.0.0.1": true, "127.0.0.0": true, "127.255.255.254": true,
		"::1": true, "0:0:0:0:0:0:0:1": true, "::1%lo": true, "[::1]": true, "[::1%lo]": true,
		"::ffff:127.0.0.1": true, "[::ffff:7f00:1]": true,

		"": false, ".": false, "localhost..": false, ".localhost": false, "a.localhost": false, "localhost.example": false, "localhost:80": false,
		"localho\u017ft": false, "[localhost]": false, "127.0.0.1.": false, "127.0.0.1:80": false, "[127.0.0.1]": false, "[::1": false, "::1]": false, "[::1]:80": false,
		"127.1": false, "2130706433": false, "0x7f.0.0.1": false, "0177.0.0.1": false, "127.0.0.1.example": false,
		"0.0.0.0": false, "::": false, "::2": false, "128.0.0.1": false, "126.255.255.255": false, "10.0.0.1": false, "fe80::1": false,
		"::ffff:10.0.0.1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false,
	} {
		if got := Is(host); got != want {
			t.Errorf("Is(%q) = %t, want %t", host, got, want)
		}
	}
}

// FuzzIs checks that whatever passes is localhost or an address that the net package takes for loopback.
func FuzzIs(f *testing.F) {
	for _, host := range []string{"localhost", "LOCALHOST.", "127.0.0.1", "[::1%eth0]", "::ffff:127.0.0.1", "a.localhost", "127.1"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !Is(host) {
			return
		}
		plain := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if addr, err := netip.ParseAddr(plain); err == nil {
			if ip := net.ParseIP(addr.WithZone("").String()); !ip.IsLoopback() {
				t.Errorf("%q passes, but %v is not a loopback address", host, ip)
			}
			return
		}
		if strings.TrimSuffix(strings.ToLower(host), ".") != "localhost" {
			t.Errorf("%q passes", host)
		}
	})
}
