package outbound

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
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

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	for _, value := range []string{"120", "0.5", "-1", "Thu, 16 Jul 2026 21:01:30 GMT", "Thursday, 16-Jul-26 21:01:30 GMT", "Thu Jul 16 21:01:30 2026"} {
		f.Add(value, "Thu, 16 Jul 2026 21:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		after := RetryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, now)
		if after < 0 || after > 24*time.Hour || after%time.Second != 0 {
			t.Errorf("%q at %q waits %v", value, date, after)
		}
		if at, err := http.ParseTime(strings.TrimSpace(value)); err == nil && at.Before(now.Add(24*time.Hour)) && now.Add(after).Before(at) {
			t.Errorf("%q at %q waits %v, which is early", value, date, after)
		}
	})
}
