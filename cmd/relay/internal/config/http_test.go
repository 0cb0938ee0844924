package config

import (
	"os"
	"strings"
	"testing"

	"github.com/treatrelay/relay/web/overlay"
)

// A start of relay checks the contents of the files that the section http names.
func TestHTTPFilesAreChecked(t *testing.T) {
	getenv := inConfigDir(t)
	for name, text := range map[string]string{"good": "a long password\n", "other": "another password\n", "short": "s3cr3t-p4ss\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"http: {password_file: good, moderator_password_file: other}": "",
		"http: {password_file: short}":                                "relay.yaml:1:23: http.password_file: short: the password has 11 characters; choose one of at least 12",
		"http: {moderator_password_file: empty}":                      "relay.yaml:1:33: http.moderator_password_file: ",
		"http: {password_file: good, moderator_password_file: good}":  "relay.yaml:1:54: http.moderator_password_file: good has the same password as http.password_file",
		"http: {listen: 'off', password_file: short}":                 "relay.yaml:1:38: http.password_file: short: the password",
		"http: {tls: {cert_file: good, key_file: other}}":             "relay.yaml:1:13: http.tls: read the certificate good and its key other: ",
	} {
		if _, err := load(t, text, getenv); err != nil {
			t.Errorf("Load of %s: %v", text, err)
		}
		_, err := Check("relay.yaml", getenv)
		switch {
		case want == "" && err != nil:
			t.Errorf("Check of %s: %v", text, err)
		case want != "" && (err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "s3cr3t")):
			t.Errorf("Check of %s: %v, want %s", text, err, want)
		}
	}
}

func TestHTTPAddresses(t *testing.T) {
	getenv := inConfigDir(t)
	for text, want := range map[string]struct {
		url              string
		served, loopback bool
	}{
		"{}":                       {"http://127.0.0.1:8350", true, true},
		"{listen: 'off'}":          {"", false, false},
		"{listen: ':80'}":          {"http://127.0.0.1:80", true, false},
		"{listen: '[::]:80'}":      {"http://127.0.0.1:80", true, false},
		"{listen: '[::1]:80'}":     {"http://[::1]:80", true, true},
		"{listen: 192.0.2.1:8350}": {"http://192.0.2.1:8350", true, false},
		"{public_url: ' https://relay.example.com/ '}": {"https://relay.example.com", true, true},
		"{tls: {cert_file: ok, key_file: ok}}":         {"https://127.0.0.1:8350", true, true},
	} {
		c, err := load(t, "http: "+text, getenv)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if h := c.HTTP; h.URL("") != want.url || h.Served() != want.served || h.Loopback() != want.loopback {
			t.Errorf("%s: URL %q, served %t, loopback %t; want %+v", text, h.URL(""), h.Served(), h.Loopback(), want)
		}
	}
	free := HTTP{Listen: "127.0.0.1:0"}
	if at := free.URL("127.0.0.1:4711"); at != "http://127.0.0.1:4711" {
		t.Errorf("the URL of a free port is %s", at)
	}
}

func TestOverlaySettings(t *testing.T) {
	c, err := load(t, "overlays:\n  plain:\n  loud: {max_age: 'off', merge_after: 0, widgets: [ticker], position: {x: 0}, sound: ding.ogg}\n", inConfigDir(t))
	if err != nil {
		t.Fatal(err)
	}
	all := c.OverlaySettings()
	plain, loud := all["plain"], all["loud"]
	if d := overlay.NewSettings(); len(all) != 2 || plain.Theme != d.Theme || plain.MaxAge != d.MaxAge || plain.Position != d.Position || plain.Volume != d.Volume {
		t.Errorf("the overlay without keys is %+v", plain)
	}
	if loud.MaxAge != 0 || loud.MergeAfter != 0 || loud.Position.X != 0 || loud.Sound != "ding.ogg" || len(loud.Widgets) != 1 || loud.Widgets[0] != overlay.WidgetTicker {
		t.Errorf("the overlay is %+v", loud)
	}
}
