package config

import "testing"

// What config check accepts, relay starts with.
func TestPublicURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://relay.example.com": true, "http://192.0.2.1:8350/": true, "https://[2001:db8::1]": true, "https://xn--mnchen-3ya.example": true,
		"https://m\u00fcnchen.example": false, "https://a..b": false, "https://:443": false, "https://*.example.com": false, "https://h:99999999": false, "https://": false,
	} {
		if err := checkPublicURL(url); (err == nil) != ok {
			t.Errorf("%s: error %v", url, err)
		}
	}
}
