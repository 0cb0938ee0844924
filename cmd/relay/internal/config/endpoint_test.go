package config

import (
	"strings"
	"testing"
)

func TestHistoryEndpoint(t *testing.T) {
	for text, good := range map[string]bool{
		"/api":                                true,
		"/api/":                               true,
		"":                                    true,
		"/a%2Fb/?x=%26":                       true,
		"/v2/{access_token}/treats":           true,
		"/v2/{access_token}/":                 true,
		"/v2/%7Baccess_token%7D/treats":       true,
		"/v2/%7baccess_token%7d":              true,
		"/v2/a-{access_token}.json?b={}":      false,
		"/v2/a-{access_token}.json":           true,
		"/treats?access_token={access_token}": true,
		"/treats?days=30&t={access_token}&x":  true,
		"/treats?t=%7Baccess_token%7D":        true,
		"/{access_token}?t={access_token}":    true,
		"?t={access_token}":                   true,
		"/treats?t={token}":                   false,
		"/treats/{your-access-token}":         false,
		"/treats/{ACCESS_TOKEN}":              false,
		"/treats/{access_token":               false,
	} {
		if err := checkEndpoint("history", "https://example.com"+text); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "{access_token}") {
			t.Errorf("%s: error %v", text, err)
		}
	}
	for _, bad := range []string{"https://{access_token}.example.com/", "https://example.com/#{access_token}", "https://{access_token}@example.com/"} {
		if err := checkEndpoint("history", bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	if err := checkEndpoint("probe", "https://example.com/{x}"); err != nil {
		t.Errorf("another endpoint: %v", err)
	}
}
