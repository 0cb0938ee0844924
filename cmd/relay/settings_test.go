package main

import (
	"bytes"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/treatrelay/relay/internal/simulator"
)

// settings is the configuration of a world's relay. Its fields are the keys that the tests use, and only those that are set are written.
type settings struct {
	Accounts map[string]*accountSettings `yaml:"accounts"`
	NATS     natsSettings                `yaml:"nats,omitempty"`
	Journal  journalSettings             `yaml:"journal,omitempty"`
	HTTP     httpSettings                `yaml:"http,omitempty"`
	Alerts   alertSettings               `yaml:"alerts,omitempty"`
	Overlays map[string]overlaySettings  `yaml:"overlays,omitempty"`
	Sinks    map[string]*sinkSettings    `yaml:"sinks"` // the last section: the examples are appended to it

	examples []string // sinks as the documentation has them, in YAML
}

type accountSettings struct {
	Provider     string           `yaml:"provider"`
	ClientID     string           `yaml:"client_id,omitempty"`
	ClientSecret string           `yaml:"client_secret,omitempty"`
	RedirectURL  string           `yaml:"redirect_url,omitempty"`
	BaseURL      string           `yaml:"base_url,omitempty"`
	Audience     string           `yaml:"audience,omitempty"`
	Reconcile    string           `yaml:"reconcile,omitempty"`
	KeepRaw      bool             `yaml:"keep_raw,omitempty"`
	Endpoints    endpointSettings `yaml:"endpoints,omitempty"`
}

type endpointSettings struct {
	Authorize   string `yaml:"authorize"`
	Token       string `yaml:"token"`
	Refresh     string `yaml:"refresh"`
	SocketToken string `yaml:"socket_token"`
	History     string `yaml:"history"`
	Socket      string `yaml:"socket"`
}

// sinkSettings are the settings of a sink of any type.
type sinkSettings struct {
	Type              string `yaml:"type"`
	deliverySettings  `yaml:",inline"`
	receiverSettings  `yaml:",inline"`
	natsLoginSettings `yaml:",inline"`
	ULR               string `yaml:"ulr,omitempty"` // no key of relay: "url" misspelled
}

type deliverySettings struct {
	Accounts    []string      `yaml:"accounts,omitempty"`
	Filter      string        `yaml:"filter,omitempty"`
	Tests       string        `yaml:"tests,omitempty"`
	Backfill    string        `yaml:"backfill,omitempty"`
	Order       string        `yaml:"order,omitempty"`
	Concurrency int           `yaml:"concurrency,omitempty"`
	Retry       retrySettings `yaml:"retry,omitempty"`
}

type retrySettings struct {
	Initial string `yaml:"initial,omitempty"`
	Max     string `yaml:"max,omitempty"`
}

type receiverSettings struct {
	URL        string `yaml:"url,omitempty"`
	URLFile    string `yaml:"url_file,omitempty"`
	Secret     string `yaml:"secret,omitempty"`
	SecretFile string `yaml:"secret_file,omitempty"`
	Account    string `yaml:"account,omitempty"`
	Timeout    string `yaml:"timeout,omitempty"`
}

type natsLoginSettings struct {
	Stream   string `yaml:"stream,omitempty"`
	Subject  string `yaml:"subject,omitempty"`
	User     string `yaml:"user,omitempty"`
	Password string `yaml:"password,omitempty"`
}

type natsSettings struct {
	Listen    string `yaml:"listen,omitempty"`
	Websocket string `yaml:"websocket,omitempty"`
}

type journalSettings struct {
	NATSURL   string `yaml:"nats_url,omitempty"`
	Retention string `yaml:"retention,omitempty"`
}

type httpSettings struct {
	Listen                string   `yaml:"listen,omitempty"`
	PublicURL             string   `yaml:"public_url,omitempty"`
	PasswordFile          string   `yaml:"password_file,omitempty"`
	ModeratorPasswordFile string   `yaml:"moderator_password_file,omitempty"`
	TrustedProxies        []string `yaml:"trusted_proxies,omitempty"`
}

type overlaySettings struct {
	Position   map[string]int `yaml:"position,omitempty"`
	Theme      string         `yaml:"theme,omitempty"`
	MinTime    string         `yaml:"min_time,omitempty"`
	MaxTime    string         `yaml:"max_time,omitempty"`
	MergeAfter int            `yaml:"merge_after"` // 0: no limit
	MaxAge     string         `yaml:"max_age,omitempty"`
	Volume     int            `yaml:"volume"`
}

type alertSettings struct {
	Sink string `yaml:"sink,omitempty"`
}

// treatStreamAccount configures an account at the simulator, which receives its treats from the server at socket.
func treatStreamAccount(sim *simulator.Server, redirectURL, socket string) *accountSettings {
	e := sim.Endpoints()
	return &accountSettings{
		Provider: "treatstream", ClientID: simulator.DefaultClientID, ClientSecret: "${TREATSTREAM_SECRET}", RedirectURL: redirectURL,
		Endpoints: endpointSettings{
			Authorize: e.Authorize, Token: e.Token, Refresh: e.Refresh, SocketToken: e.SocketToken, History: e.History, Socket: socket,
		},
	}
}

// webhookTo configures a webhook that signs with [webhookSecret].
func webhookTo(url string) *sinkSettings {
	return &sinkSettings{Type: "webhook", receiverSettings: receiverSettings{URL: url, Secret: webhookSecret}}
}

// natsTo configures a sink that publishes to a server of its own.
func natsTo(url, stream, subject string) *sinkSettings {
	return &sinkSettings{Type: "nats", receiverSettings: receiverSettings{URL: url}, natsLoginSettings: natsLoginSettings{Stream: stream, Subject: subject}}
}

// clone returns a copy that shares nothing with s.
func (s *settings) clone() *settings {
	c := *s
	c.Accounts, c.Sinks, c.Overlays, c.examples = maps.Clone(s.Accounts), maps.Clone(s.Sinks), maps.Clone(s.Overlays), slices.Clone(s.examples)
	for name, account := range c.Accounts {
		own := *account
		c.Accounts[name] = &own
	}
	for name, sink := range c.Sinks {
		own := *sink
		own.Accounts = slices.Clone(sink.Accounts)
		c.Sinks[name] = &own
	}
	return &c
}

// yaml writes the settings as a configuration file.
func (s *settings) yaml() ([]byte, error) {
	text, err := yaml.Marshal(s)
	for _, example := range s.examples {
		text = append(text, "  "+strings.TrimSpace(example)+"\n"...)
	}
	return text, err
}

// configure changes the configuration of the world's relay and writes its file. It returns a function that restores the configuration from
// before. A change that changes nothing fails the test.
func (w *world) configure(change func(*settings)) (restore func()) {
	w.t.Helper()
	before := w.settings
	w.settings = before.clone()
	change(w.settings)
	if bytes.Equal(render(w.t, before), render(w.t, w.settings)) {
		w.t.Fatal("the change leaves the configuration as it is")
	}
	w.writeSettings()
	return func() {
		w.t.Helper()
		w.settings = before
		w.writeSettings()
	}
}

func (w *world) writeSettings() {
	w.t.Helper()
	if err := os.WriteFile(w.config, render(w.t, w.settings), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func render(t *testing.T, s *settings) []byte {
	t.Helper()
	text, err := s.yaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// addSink adds a sink to the configuration.
func (w *world) addSink(name string, sink *sinkSettings) {
	w.t.Helper()
	w.configure(func(s *settings) { s.Sinks[name] = sink })
}

// addExample adds a sink as the documentation configures it: its name and its keys in YAML, as they stand under "sinks:".
func (w *world) addExample(text string) {
	w.t.Helper()
	w.configure(func(s *settings) { s.examples = append(s.examples, text) })
}

// account returns the settings of the account that every world has.
func (s *settings) account() *accountSettings { return s.Accounts["mystream"] }

// replaceOnce returns text with another part in the one place where it has part, and fails the test if there is not exactly one.
func replaceOnce(t *testing.T, text, part, with string) string {
	t.Helper()
	if n := strings.Count(text, part); part == "" || n != 1 {
		t.Fatalf("%q is there %d times, want once, in:\n%s", part, n, text)
	}
	return strings.Replace(text, part, with, 1)
}

// withLogin returns an address with a user and a password.
func withLogin(t *testing.T, address, user, password string) string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	at.User = url.UserPassword(user, password)
	return at.String()
}
