package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func TestFromEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		want map[string]string // URL to proxy; empty: none
	}{
		"nothing": {nil, map[string]string{"https://a.example": ""}},
		"HTTPS_PROXY": {map[string]string{"HTTPS_PROXY": "http://proxy.example:3128"}, map[string]string{
			"https://a.example": "http://proxy.example:3128", "http://a.example": "", "https://localhost:1": "", "https://127.0.0.1": "", "https://[::1]": "",
		}},
		"small letters, without a scheme": {map[string]string{"https_proxy": "proxy.example:3128"}, map[string]string{"https://a.example": "http://proxy.example:3128"}},
		"small letters first":             {map[string]string{"https_proxy": "http://small", "HTTPS_PROXY": "http://large"}, map[string]string{"https://a.example": "http://small"}},
		"ALL_PROXY": {map[string]string{"ALL_PROXY": "socks5://proxy.example:1080"}, map[string]string{
			"https://a.example": "socks5://proxy.example:1080", "http://a.example": "socks5://proxy.example:1080",
		}},
		"ALL_PROXY beside another": {map[string]string{"all_proxy": "socks5h://all", "HTTPS_PROXY": "https://me:pass@secure"}, map[string]string{
			"https://a.example": "https://me:pass@secure", "http://a.example": "socks5h://all",
		}},
		"NO_PROXY": {map[string]string{"ALL_PROXY": "http://proxy", "NO_PROXY": "b.example, .c.example,10.0.0.0/8"}, map[string]string{
			"https://a.example": "http://proxy", "https://b.example": "", "https://x.b.example:8443": "", "https://x.c.example": "", "https://10.1.2.3": "",
			"https://11.1.2.3": "http://proxy",
		}},
		"NO_PROXY with ports and addresses": {map[string]string{"HTTPS_PROXY": "http://proxy", "NO_PROXY": "b.example:8443, 192.0.2.7,[2001:db8::1]:444,2001:db8:1::/48"}, map[string]string{
			"https://b.example:8443": "", "https://b.example": "http://proxy", "https://192.0.2.7:99": "", "https://192.0.2.8": "http://proxy",
			"https://[2001:db8::1]:444": "", "https://[2001:db8::1]": "http://proxy", "https://[2001:db8:1::9]": "",
		}},
		"NO_PROXY for all": {map[string]string{"HTTPS_PROXY": "http://proxy", "no_proxy": "*"}, map[string]string{"https://a.example": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for variable, value := range test.env {
				t.Setenv(variable, value)
			}
			for target, want := range test.want {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				got, err := FromEnvironment(req)
				if err != nil {
					t.Fatal(err)
				}
				if got != nil && got.String() != want || got == nil && want != "" {
					t.Errorf("%s goes through %v, want %q", target, got, want)
				}
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, value := range []string{"ftp://me:hush@proxy", "socks4://me:hush@proxy", "http://me:hush@", "http://me:hush@proxy:port", "me:hush@pro xy"} {
		clean(t)
		t.Setenv("https_proxy", value)
		err := Check()
		if err == nil || !strings.Contains(err.Error(), "https_proxy is not the address") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", value, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://a.example", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FromEnvironment(req); err == nil {
			t.Errorf("%s: no error of a request", value)
		}
	}
}

// clean takes what the environment of the test says of proxies away.
func clean(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToLower(name), "")
	}
}
