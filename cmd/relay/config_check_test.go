package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

const checkedAccount = "accounts: {m: {provider: treatstream, client_id: x, client_secret: 12345678abc}}\n"

// config check refuses what the start refuses, with the same message, line and column.
func TestConfigCheckRefusesWhatTheStartRefuses(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	for name, content := range map[string]string{"empty": "", "blank": " \r\n", "two": "one\ntwo\n", "control": "a\x01b", "large": strings.Repeat("x", 70_000), "url": "https://example.com/a b"} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(w.dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	const webhook = "type: webhook, url: 'https://example.com/x'"
	const signed = webhook + ", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	cases := map[string]string{
		"accounts: {m: {provider: treatstream, client_id: x, client_secret_file: %[1]s}}\nsinks: {o: {type: stdout}}\n": "accounts.m.client_secret_file: ",
		checkedAccount + "journal: {nats_url: 'nats://127.0.0.1:1', token_file: %[1]s}\nsinks: {o: {type: stdout}}\n":   "journal.token_file: ",
		checkedAccount + "journal: {nats_url: 'nats://127.0.0.1:1', creds_file: %[1]s}\nsinks: {o: {type: stdout}}\n":   "journal.creds_file: ",
	}
	for key, sink := range map[string]string{
		"secret_file": webhook, "private_key_file": webhook, "tls_ca_file": signed, "url_file": "type: webhook, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"creds_file": "type: nats, url: 'nats://127.0.0.1:1'", "token_file": "type: nats, url: 'nats://127.0.0.1:1'", "password_file": "type: nats, url: 'nats://127.0.0.1:1', user: u",
	} {
		cases[checkedAccount+"sinks: {o: {"+sink+", "+key+": %[1]s}}\n"] = "sinks.o." + key + ": "
	}
	cases[checkedAccount+"sinks: {o: {type: discord, url_file: %[1]s}}\n"] = "sinks.o.url_file: "
	cases[checkedAccount+"sinks: {o: {type: slack, url_file: %[1]s}}\n"] = "sinks.o.url_file: "
	cases[checkedAccount+"sinks: {o: {"+signed+", tls_cert_file: %[1]s, tls_key_file: %[1]s}}\n"] = "sinks.o.tls_"
	files := []string{"empty", "blank", "two", "control", "large", "dir", "absent"}
	for text, want := range cases {
		for _, file := range files {
			if file == "blank" && (strings.Contains(want, "client_secret_file") || strings.Contains(want, "journal.token_file")) {
				continue // blanks may belong to a secret
			}
			checkRefused(t, w, fmt.Sprintf(text, file), want)
		}
	}
	checkRefused(t, w, checkedAccount+"sinks: {o: {type: webhook, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, url_file: url}}\n", "sinks.o.url_file: contains a space")
}

// checkRefused checks that a configuration is refused with this message and its place.
func checkRefused(t *testing.T, w *world, text, want string) {
	t.Helper()
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Check(w.config, os.LookupEnv)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "relay.yaml:") || strings.Contains(err.Error(), "\x01") {
		t.Errorf("%v, want %q for\n%s", err, want, text)
	}
}

// config check and the start refuse an incomplete configuration, and one error of each kind.
func TestConfigCheckCommand(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	for text, want := range map[string]string{
		"sinks: {o: {type: stdout}}\n": "no accounts: add one under accounts",
		checkedAccount:                 "no sinks: add one under sinks",
		checkedAccount + "sinks: {o: {type: webhook, url: 'https://example.com', secret_file: bad}}\n":                                                           "sinks.o.secret_file: number 1 does not begin with whsec_",
		checkedAccount + "nats: {websocket: '127.0.0.1:4222'}\nsinks: {o: {type: nats}}\n":                                                                       "nats.websocket: is the address of nats.listen too",
		checkedAccount + "sinks: {o: {type: nats}, p: {type: nats, stream: OTHER}}\n":                                                                            "sinks.p: takes subjects that the stream of o takes already: give it a subject of its own, such as shop.{provider}.{account}",
		checkedAccount + "http: {listen: ':4222'}\nsinks: {o: {type: nats}}\n":                                                                                   "http.listen: is the address of nats.listen too",
		checkedAccount + "http: {listen: '127.0.0.1:99999'}\nsinks: {o: {type: stdout}}\n":                                                                       "http.listen: want an address and a port",
		checkedAccount + "http: {listen: '999.1.1.1:80'}\nsinks: {o: {type: stdout}}\n":                                                                          "http.listen: want an address and a port",
		"accounts: {m: {provider: treatstream, client_id: x, client_secret: 12345678abc, redirect_url: 'http://localhost:99999'}}\nsinks: {o: {type: stdout}}\n": "accounts.m.redirect_url: the port must be",
	} {
		if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, "bad"), []byte("hunter2"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"config", "check"}, {}} {
			if got := w.relay(exit.Config, args...).err.text(); !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
				t.Errorf("relay %s: %s, want %q for\n%s", strings.Join(args, " "), got, want, text)
			}
		}
	}
}
