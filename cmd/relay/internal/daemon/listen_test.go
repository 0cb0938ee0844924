package daemon

import (
	"net"
	"net/netip"
	"testing"
)

// The setup writes no port that the system chose: another program may get it at the next start.
func TestLastingAddress(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8350": "127.0.0.1:8350", "127.0.0.1:8359": "127.0.0.1:8359", "127.0.0.1:8360": "", "127.0.0.1:36491": "", "127.0.0.1:8349": "",
	} {
		if got := lasting(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
