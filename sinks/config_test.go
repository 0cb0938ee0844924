package sinks_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

func TestValidate(t *testing.T) {
	short := "whsec_c2hvcnQtcGxhbnRlZC1zZWNyZXQ=" // 20 bytes
	for _, c := range []struct {
		typ, text string
		want      string // "" when it is valid, else the key and a part of the fault
	}{
		{"stdout", "{}", ""},

		{"nats", "{}", ""},
		{"nats", "subject: bots", ""},
		{"nats", "subject: bots.{account}.x-{provider}", ""},
		{"nats", "subject: ''", "subject: is empty"},
		{"nats", "subject: treats.*", "subject: \"treats.*\" is not a subject"},
		{"nats", "subject: treats.>", "subject: \"treats.>\" is not a subject"},
		{"nats", "subject: treats..x", "subject: "},
		{"nats", "subject: .treats", "subject: "},
		{"nats", "subject: treats.", "subject: "},
		{"nats", "subject: my treats", "subject: "},
		{"nats", "subject: treats.{acount}", "subject: \"treats.{acount}\" has an unknown placeholder"},
		{"nats", "subject: '{account}.treats'", "begins with a placeholder"},
		{"nats", "subject: $JS.API.x", "begins with $JS"},
		{"nats", "subject: relay.journal.x", "begins with relay"},
		{"nats", "subject: _INBOX.x", "begins with _INBOX"},
		{"nats", "stream: ''", "stream: is empty"},
		{"nats", "stream: MY.TREATS", "stream: \"MY.TREATS\" is not the name"},
		{"nats", "stream: RELAY_JOURNAL", "stream: RELAY_JOURNAL is relay's own"},
		{"nats", "retention: 168h", ""},
		{"nats", "retention: 72ns", "retention: 72ns is less than a minute: give it a unit"},
		{"nats", "retention: 0s", "retention: "},
		{"nats", "retention: -1h", "retention: "},
		{"nats", "url: nats://n.example", ""},
		{"nats", "url: 'tls://a:4222, tls://b:4222'", ""},
		{"nats", "url: nats://relay:planted-word@n.example", ""},
		{"nats", "url: n.example:4222", "url: is not a NATS URL"},
		{"nats", "url: https://n.example", "url: is not a NATS URL"},
		{"nats", "url: 'nats://relay:planted%zz@n.example'", "url: is not a NATS URL"},
		{"nats", "url: 'nats://relay:planted word@n:x'", "url: is not a NATS URL"},
		{"nats", "url: 'nats://a,,nats://b'", "url: is not a NATS URL"},
		{"nats", "url: nats://n\nuser: relay\npassword: planted-word", ""},
		{"nats", "url: nats://n\nuser: relay\npassword_file: /x", ""},
		{"nats", "url: nats://n\ntoken: planted-word", ""},
		{"nats", "url: nats://n\ncreds_file: /x\ntls_ca_file: /y", ""},
		{"nats", "url: nats://n\ntls_cert_file: /x\ntls_key_file: /y", ""},
		{"nats", "url: nats://n\ntls_cert_file: /x", "tls_cert_file: requires tls_key_file, and the reverse"},
		{"nats", "url: nats://n\nuser: relay", "user: requires password"},
		{"nats", "url: nats://n\npassword: planted-word", "user: requires password"},
		{"nats", "url: nats://n\nuser: relay\npassword: planted-word\npassword_file: /x", "password_file: conflicts with password"},
		{"nats", "url: nats://n\ntoken: planted-word\ncreds_file: /x", "token: conflicts with creds_file"},
		{"nats", "url: nats://a:b@n\ntoken: planted-word", "url: has a login, and so do other keys"},
		{"nats", "token: planted-word", "token: requires a url"},
		{"nats", "tls_ca_file: /x", "tls_ca_file: requires a url"},

		{"webhook", sinktest.GoodHook, ""},
		{"webhook", "url_file: /x\nsecret_file: /y", ""},
		{"webhook", "url_file: /x\nsecrets: [" + sinktest.WebhookSecret + ", " + sinktest.WebhookSecret + "]", ""},
		{"webhook", sinktest.GoodHook + "headers: {Authorization: Bearer planted-word, X-Team: pizza}", ""},
		{"webhook", sinktest.GoodHook + "timeout: 2s", ""},
		{"webhook", sinktest.GoodHook + "method: PUT", ""},
		{"webhook", sinktest.GoodHook + "method: GET", "method: want POST, PUT or PATCH, got \"GET\""},
		{"webhook", sinktest.GoodHook + "method: post", "method: want POST"},
		{"webhook", sinktest.GoodHook + "tls_cert_file: /x", "tls_cert_file: requires tls_key_file, and the reverse"},
		{"webhook", sinktest.GoodHook + "private_key_file: /x", ""},
		{"webhook", "url: https://x\nprivate_key: whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", ""},
		{"webhook", "url: https://x\nprivate_key: whsk_cGxhbnRlZA==", "private_key: number 1 has 7 bytes, want 32 or 64"},
		{"webhook", "url: https://x\nprivate_key: whsk_planted\nprivate_key_file: /x", "private_key_file: conflicts with private_key"},
		{"webhook", sinktest.GoodHook + "timeout: 15ns", "timeout: 15ns is less than 100ms: give it a unit"},
		{"webhook", sinktest.GoodHook + "timeout: -1s", "timeout: "},
		{"webhook", "secret: " + sinktest.WebhookSecret, "url: is missing"},
		{"webhook", "url: https://bot.example", "secret: is missing, and anybody could forge"},
		{"webhook", "url: https://bot.example", "relay secrets new"},
		{"webhook", sinktest.GoodHook + "url_file: /x", "url_file: conflicts with url"},
		{"webhook", sinktest.GoodHook + "secret_file: /x", "secret_file: conflicts with secret"},
		{"webhook", sinktest.GoodHook + "secrets: [" + sinktest.WebhookSecret + "]", "secrets: conflicts with secret"},
		{"webhook", "url: https://x\nsecret: planted-secret-of-thirty-two-bytes", "secret: number 1 does not begin with whsec_"},
		{"webhook", "url: https://x\nsecret: whsec_planted***", "secret: number 1 is not base64"},
		{"webhook", "url: https://x\nsecret: whsec_", "secret: number 1 has 0 bytes, less than the 24"},
		{"webhook", "url: https://x\nsecret: " + short, "secret: number 1 has 20 bytes, less than the 24"},
		{"webhook", "url: https://x\nsecrets: [" + sinktest.WebhookSecret + ", " + short + "]", "secrets: number 2 has 20 bytes"},
		{"webhook", "url: ftp://bot.example\nsecret: " + sinktest.WebhookSecret, "url: is not an http or https URL"},
		{"webhook", "url: bot.example/treats\nsecret: " + sinktest.WebhookSecret, "url: is not an http or https URL"},
		{"webhook", "url: https:///planted\nsecret: " + sinktest.WebhookSecret, "url: is not an http or https URL"},
		{"webhook", "url: https://x/planted%zz\nsecret: " + sinktest.WebhookSecret, "url: is not a valid URL"},
		{"webhook", "url: https://me:planted-word@x\nsecret: " + sinktest.WebhookSecret, "url: contains a user or password: remove it and set headers"},
		{"webhook", sinktest.GoodHook + "headers: {webhook-id: x}", "headers: webhook-id cannot be set"},
		{"webhook", sinktest.GoodHook + "headers: {Webhook-Signature: x}", "headers: Webhook-Signature cannot be set"},
		{"webhook", sinktest.GoodHook + "headers: {content-type: x}", "headers: content-type cannot be set"},
		{"webhook", sinktest.GoodHook + "headers: {Host: x}", "headers: Host cannot be set"},
		{"webhook", sinktest.GoodHook + "headers: {Content-Length: '3'}", "headers: Content-Length cannot be set"},
		{"webhook", sinktest.GoodHook + "headers: {'X Team': x}", "headers: \"X Team\" is not the name"},
		{"webhook", sinktest.GoodHook + "headers: {'': x}", "headers: \"\" is not the name"},
		{"webhook", sinktest.GoodHook + "headers: {X-Team: \"planted\\r\\nX-Evil: 1\"}", "headers: the value of X-Team contains a line break"},
	} {
		t.Run(c.typ+" "+c.text, func(t *testing.T) {
			err := sinktest.Decode(t, c.typ, c.text).Validate()
			if c.want == "" {
				if err != nil {
					t.Errorf("fault: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("fault %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), sinktest.WebhookSecret) {
				t.Errorf("a secret shows in %q", err)
			}
			if _, ok := errors.AsType[*field.Error](err); !ok {
				t.Errorf("no key goes with %q", err)
			}
		})
	}
}

func TestValidateReportsEveryFault(t *testing.T) {
	err := sinktest.Decode(t, "webhook", "url: x\nsecret: y\ntimeout: 1ns\nheaders: {Host: a, Webhook-Id: b}").Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("faults:\n%v\nwant 5", err)
	}
}

// TestOpenReadsFiles wants the fault of a file told with its key and without its content.
func TestOpenReadsFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, junk := write("empty", " \n"), write("junk", "planted junk\n")
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct{ typ, text, want string }{
		{"webhook", "url_file: " + missing + "\nsecret: " + sinktest.WebhookSecret, "url_file: open "},
		{"webhook", "url_file: " + empty + "\nsecret: " + sinktest.WebhookSecret, "url_file: " + empty + " is empty"},
		{"webhook", "url_file: " + junk + "\nsecret: " + sinktest.WebhookSecret, "url_file: is not an http or https URL"},
		{"webhook", "url: https://x\nsecret_file: " + junk, "secret_file: number 1 does not begin with whsec_"},
		{"webhook", sinktest.GoodHook + "tls_ca_file: " + junk, "tls_ca_file: " + junk + " holds no PEM certificate"},
		{"nats", "url: nats://127.0.0.1:1\ntoken_file: " + missing, "token_file: open "},
		{"nats", "url: nats://127.0.0.1:1\nuser: a\npassword_file: " + empty, "password_file: " + empty + " is empty"},
		{"nats", "url: nats://127.0.0.1:1\ncreds_file: " + missing, "creds_file: open "},
		{"nats", "url: nats://127.0.0.1:1\ntls_ca_file: " + junk, "tls_ca_file: "},
		{"nats", "url: nats://127.0.0.1:1\ntls_cert_file: " + junk + "\ntls_key_file: " + junk, "tls_cert_file: "},
		{"nats", "{}", "url: is missing"},
	} {
		t.Run(c.typ+" "+c.text, func(t *testing.T) {
			sink, err := sinks.Open(t.Context(), sinktest.Decode(t, c.typ, c.text), sinks.Env{Name: "x"})
			if err == nil {
				_ = sink.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("Open: %v, want %q", err, c.want)
			}
		})
	}
}

func TestNewConfig(t *testing.T) {
	for _, typ := range sinks.Types() {
		if sinks.NewConfig(typ) == nil {
			t.Errorf("type %s has no configuration", typ)
		}
	}
	if c := sinks.NewConfig("carrier-pigeon"); c != nil {
		t.Errorf("an unknown type has configuration %v", c)
	}
}
