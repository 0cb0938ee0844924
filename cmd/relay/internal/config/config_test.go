package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/pipeline/delivery/schedule"
	"github.com/treatrelay/relay/sinks"
	natssink "github.com/treatrelay/relay/sinks/nats"
	"github.com/treatrelay/relay/sinks/stdout"
	"github.com/treatrelay/relay/sinks/webhook"
	"github.com/treatrelay/relay/socket"
)

// planted are the secrets in the files below and in the files and variables that they name. No error may contain one.
var planted = []string{"hunter2", "Zm9vYmFy", "correct-horse", "n4ts-p4ss", "Bearer-abc"}

const signingSecret = "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="

// inConfigDir changes to a new folder with a few files, and returns a getenv.
func inConfigDir(t testing.TB) func(string) (string, bool) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"ok": "hunter2-file\n", "crlf": "hunter2-crlf\r\n", "empty": "\n", "two": "hunter2\nhunter2\n",
		"big": strings.Repeat("hunter2 ", secret.FileLimit/8+1), "creds": "-----BEGIN\nhunter2\n-----END\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if t, ok := t.(*testing.T); ok {
		t.Chdir(dir)
	}
	env := map[string]string{
		"SECRET": "hunter2-env", "EMPTY": "", "RETENTION": "48h", "TRUE": "true", "LIST": "[a, b]", "NESTED": "${SECRET}",
		"LINES": "hunter2\nhunter2", "SIGNING": signingSecret,
	}
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func load(t testing.TB, text string, getenv func(string) (string, bool)) (*Config, error) {
	t.Helper()
	if err := os.WriteFile("relay.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load("relay.yaml", getenv)
}

func TestConfigLoads(t *testing.T) {
	getenv := inConfigDir(t)
	got, err := load(t, `---
# Everything.
accounts:
  mystream:
    provider: treatstream
    client_id: 007
    client_secret: ${SECRET}
    redirect_url: http://[::1]:8919/back
    timezone: Europe/Berlin
    endpoints:
      {authorize: http://localhost:1/a, token: 'http://127.0.0.1:1/t', socket: https://example.com}
    protocol: 3
    keep_raw: ${TRUE}
    reconcile: 1h30m
  other: {provider: treatstream, client_id: 'a$${b}$', client_secret_file: crlf}
sinks:
  console:
    type: stdout
    accounts:
    - other
    retry:
  bus: {type: nats, subject: 'a.{account}', retry: {initial: 7s}}
  bot:
    type: webhook
    url: https://bot.example/treats
    secrets: ["${SIGNING}"]
    headers: {Authorization: "Bearer ${SECRET}", X-Nested: "${NESTED}"}
journal:
  nats_url: nats://u:n4ts-p4ss@h:4222,nats://i
  creds_file: creds
  retention: ${RETENTION}
nats: {listen: ":0"}
http: {listen: '127.0.0.1:8350'}
...
`, getenv)
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	provider, _ := provider.Lookup("treatstream")
	hook := webhook.NewConfig()
	hook.URL, hook.Secrets = secret.New("https://bot.example/treats"), []secret.String{secret.New(signingSecret)}
	hook.Headers = map[string]secret.String{
		"Authorization": secret.New("Bearer hunter2-env"), "X-Nested": secret.New("${SECRET}"),
	}
	bus, ok := sinks.NewConfig("nats").(*natssink.Config)
	if !ok {
		t.Fatal("the nats sink has another configuration")
	}
	bus.Subject = "a.{account}"
	account := func(name string, change func(*Account)) Account {
		a := defaultAccount().Account
		a.Account, a.Provider = name, provider
		a.RedirectURL, a.Location, a.Protocol, a.KeepRaw, a.Reconcile = "http://localhost:8919", time.UTC, socket.Auto, false, 15*time.Minute
		change(&a)
		return a
	}
	lane := delivery.LaneConfig{Retry: schedule.Policy{Initial: 5 * time.Second, Max: 10 * time.Hour, GiveUp: 72 * time.Hour}}
	botLane, busLane, consoleLane := lane, lane, lane
	botLane.Concurrency = 16
	busLane.Retry.Initial = 7 * time.Second
	consoleLane.Selection = rules.Selection{Accounts: []string{"other"}}
	file := defaults()
	file.Journal.NATSURL, file.Journal.CredsFile, file.Journal.Retention = secret.New("nats://u:n4ts-p4ss@h:4222,nats://i"), "creds", 48*time.Hour
	file.NATS.Listen, file.HTTP.Listen = ":0", "127.0.0.1:8350"
	file.Socket.HandshakeTimeout, file.Socket.Keepalive = 10*time.Second, 20*time.Second
	want := &Config{
		Path: "relay.yaml",
		Accounts: []Account{
			account("mystream", func(a *Account) {
				a.ClientID, a.ClientSecret, a.RedirectURL = "007", secret.New("hunter2-env"), "http://[::1]:8919/back"
				a.Endpoints.Authorize, a.Endpoints.Token, a.Endpoints.Socket = "http://localhost:1/a", "http://127.0.0.1:1/t", "https://example.com"
				a.Location, a.Protocol, a.KeepRaw, a.Reconcile = berlin, socket.EIO3, true, 90*time.Minute
			}),
			account("other", func(a *Account) { a.ClientID, a.ClientSecret = "a${b}$", secret.New("hunter2-crlf") }),
		},
		Sinks: []Sink{
			{Name: "bot", Type: "webhook", Lane: botLane, Config: hook},
			{Name: "bus", Type: "nats", Lane: busLane, Config: bus},
			{Name: "console", Type: "stdout", Lane: consoleLane, Config: &stdout.Config{}},
		},
		Settings: file.Settings,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("LoadConfig =\n%+v\nwant\n%+v", got, want)
	}
}

func TestConfigReconcile(t *testing.T) {
	getenv := inConfigDir(t)
	for text, want := range map[string]time.Duration{"off": 0, "0": 0, "1m": time.Minute, "2h": 2 * time.Hour, "59s": -1, "5": -1, "-1m": -1, "on": -1} {
		c, err := load(t, "accounts: {a: {provider: treatstream, client_id: x, client_secret: hunter2, reconcile: '"+text+"'}}", getenv)
		switch {
		case want < 0 && err == nil:
			t.Errorf("%q is taken for %v", text, c.Accounts[0].Reconcile)
		case want >= 0 && (err != nil || c.Accounts[0].Reconcile != want):
			t.Errorf("%q is taken for %+v (%v), want %v", text, c, err, want)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	getenv := inConfigDir(t)
	for _, text := range []string{"sinks:\n", "accounts: {}", "journal:\nnats:\nhttp:\n", "{}", "\t\n\t# x\nhttp: {}\t# y\tz\n", "\ufeff{sinks: {o: {type: stdout}}}\r\n", "# x\n---\nnats:\n"} {
		c, err := load(t, text, getenv)
		if err != nil {
			t.Errorf("LoadConfig of %q: %v", text, err)
			continue
		}
		if c.Journal.Retention != 840*time.Hour || c.NATS.Listen != "127.0.0.1:4222" || c.HTTP.Listen != DefaultHTTPListen || len(c.Accounts) > 0 {
			t.Errorf("LoadConfig of %q = %+v, want the defaults", text, c)
		}
	}
}

func TestConfigPathsBeginAtTheFile(t *testing.T) {
	getenv := inConfigDir(t)
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("etc/relay.yaml", []byte("journal: {nats_url: 'nats://h', creds_file: ../creds}\n"+
		"accounts: {a: {provider: treatstream, client_id: x, client_secret_file: ../ok}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("etc/relay.yaml", getenv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Journal.CredsFile != "creds" || c.Accounts[0].ClientSecret.Reveal() != "hunter2-file" {
		t.Errorf("creds_file is %s and the secret %q", c.Journal.CredsFile, c.Accounts[0].ClientSecret.Reveal())
	}
}

func TestConfigWarnsOfSecretsOthersMayRead(t *testing.T) {
	getenv := inConfigDir(t)
	const text = `accounts:
  a: {provider: treatstream, client_id: x, client_secret: hunter2}
  b: {provider: treatstream, client_id: x, client_secret_file: ok}
  c: {provider: treatstream, client_id: x, client_secret: "${SECRET}"}
sinks:
  bot: {type: webhook, url: 'https://h/', secret: whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8=}
  bus: {type: nats, url: 'nats://u:n4ts-p4ss@h'}
`
	for _, test := range []struct {
		mode os.FileMode
		want []string
	}{
		{0o600, nil},
		{0o644, []string{"2:59: accounts.a.client_secret", "6:51: sinks.bot.secret", "7:26: sinks.bus.url"}},
		{0o640, []string{"2:59: accounts.a.client_secret", "6:51: sinks.bot.secret", "7:26: sinks.bus.url"}},
	} {
		if err := os.WriteFile("relay.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod("relay.yaml", test.mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load("relay.yaml", getenv)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range c.Warnings {
			where, message, _ := strings.Cut(strings.TrimPrefix(w.Error(), "relay.yaml:"), ": a secret in a file")
			got = append(got, where)
			for _, s := range planted {
				if strings.Contains(message, s) {
					t.Errorf("a warning contains a secret: %v", w)
				}
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("mode %o: warnings about %q, want %q", test.mode, got, test.want)
		}
	}
}

func TestLoadConfigUnreadable(t *testing.T) {
	getenv := inConfigDir(t)
	for path, want := range map[string]string{
		"nope.yaml": "nope.yaml: open the file: no such file or directory",
		".":         ".: read the file: is a directory",
		"huge":      "huge: the file is larger than 8 MiB",
	} {
		if err := os.WriteFile("huge", make([]byte, maxSize+1), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, getenv)
		if err == nil || err.Error() != want {
			t.Errorf("LoadConfig(%s) = %v, want %s", path, err, want)
		}
		if _, ok := errors.AsType[Faults](err); !ok {
			t.Errorf("LoadConfig(%s) gives a %T, want ConfigErrors", path, err)
		}
	}
}

func TestFindConfig(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	t.Chdir(t.TempDir())
	named := filepath.Join(home, "named.yaml")
	find := func(flag, env, want string) {
		t.Helper()
		got, err := Find(flag, func(name string) (string, bool) { return env, name == "RELAY_CONFIG" })
		if err != nil || got != want {
			t.Errorf("FindConfig(%q) with RELAY_CONFIG=%q = %q, %v, want %q", flag, env, got, err, want)
		}
	}
	write := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find("", "", "")
	user, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	user = write(filepath.Join(user, "relay", "relay.yaml"))
	find("", "", user)
	find("", "", write("relay.yaml"))
	write(named)
	find("", named, named)
	find(user, named, user)
	for _, nope := range []string{"nope.yaml", home} {
		if got, err := Find(nope, os.LookupEnv); err == nil {
			t.Errorf("FindConfig(%s) = %q, want an error", nope, got)
		}
		if got, err := Find("", func(string) (string, bool) { return nope, true }); err == nil {
			t.Errorf("FindConfig with RELAY_CONFIG=%s = %q, want an error", nope, got)
		}
	}
}
