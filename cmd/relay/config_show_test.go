package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/cmd/relay/internal/cli"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/doctest"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

const aSigningSecret = "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="

// secretWorld creates a folder with a configuration that uses every key that may hold a secret, in every form, and the files it names. Each secret contains "PLANT" and its origin.
// It changes to the folder, and returns the configuration and its variables.
func secretWorld(t *testing.T) (config string, env map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("internal", "config", "testdata", "secrets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	config = strings.NewReplacer("SIGNING,", aSigningSecret+",", "secret: SIGNING", "secret: "+aSigningSecret, "PRIVATE}", privateKey+"}").Replace(string(text))
	for name, text := range map[string]string{
		"relay.yaml": config, "planted": "PLANT-file", "signing": aSigningSecret, "private": privateKey, "url": "https://h/PLANT-url-file",
		"chat": "https://discord.com/api/webhooks/1/PLANT-chat", "team": "https://hooks.slack.com/services/T0/B0/PLANTteam",
	} {
		if err := datadir.WritePrivate(name, []byte(text+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	return config, map[string]string{
		"PLANTED": "PLANT-variable", "PLANTED_URL": "https://h/PLANT-variable", "SIGNING": aSigningSecret, "CLIENT": "a-client",
	}
}

// runMain runs a command line in this process, and returns its exit code and output.
func runMain(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Execute(t.Context(), args, state.Streams{In: strings.NewReader(stdin), Out: &out, Err: &errs, Getenv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return code, out.String(), errs.String()
}

func TestConfigShowHasNoSecret(t *testing.T) {
	_, env := secretWorld(t)
	token := regexp.MustCompile(`PLANT|` + aSigningSecret[6:30] + `|` + strings.TrimPrefix(privateKey, "whsk_")[:24])
	for _, mode := range []os.FileMode{0o600, 0o644} { // of a file that others may read it warns
		if err := os.Chmod("relay.yaml", mode); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"config", "show"}, {"config", "show", "--json"}} {
			code, stdout, stderr := runMain(t, env, "", args...)
			if code != exit.OK {
				t.Fatalf("%v ends with %d: %s", args, code, stderr)
			}
			for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
				for line := range strings.Lines(strings.ReplaceAll(text, "${PLANTED}", "")) { // its name is no secret
					if token.MatchString(line) {
						t.Errorf("%v shows a secret on %s: %s", args, name, line)
					}
				}
			}
			if got := strings.Count(stdout, "***"); got < 25 {
				t.Errorf("%v masks %d secrets only", args, got)
			}
		}
	}
}

func TestConfigShow(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"etc/secret": "hunter2", "etc/relay.yaml": `
accounts:
  partner: {provider: client-credentials, client_id: '007', client_secret_file: secret, base_url: 'https://api.example.com', method: GET}
  mystream: {provider: treatstream, client_id: '${CLIENT}', client_secret: hunter2, protocol: 3, reconcile: off, timezone: Europe/Berlin}
sinks:
  console: {type: stdout, hide_sender: true, rate_limit: 90/m, accounts: [mystream], order: strict, filter: 'data.title != "$${x}"'}
  bot:
    type: webhook
    url: https://h/
    secret_file: secret
    tests: skip
    body: |
      {"a": {{.data.title}},
       "b": 1}
overlays:
  plain:
  main: {accounts: [mystream], theme: pop, merge_after: 0, max_age: off, sound: ding.ogg, pictures: {pizza: a.png}, position: {x: 0}, hide_words: [darn]}
journal: {retention: '${RETENTION}'}
http: {listen: off, public_url: https://relay.example.com, password_file: secret}
`,
	} {
		if err := datadir.WritePrivate(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "etc", "secret")
	env := map[string]string{"CLIENT": "a-client", "RETENTION": "2h30m"}
	want := `accounts:
  mystream:
    provider: treatstream
    client_id: ${CLIENT}
    client_secret: "***"
    redirect_url: http://localhost:8919
    scopes:
      - userinfo
    body_style: form
    redirect_parameter: redirect_uri
    endpoints:
      authorize: https://treatstream.com/Oauth2/Authorize
      token: https://treatstream.com/Oauth2/Authorize/token
      refresh: https://treatstream.com/Oauth2/RefreshToken
      socket_token: https://treatstream.com/Oauth2/Authorize/socketToken
      history: https://treatstream.com/api/getMonthTreats/
      socket: https://nodeapi.treatstream.com/
    timezone: Europe/Berlin
    protocol: 3
    keep_raw: false
    reconcile: "off"
  partner:
    provider: client-credentials
    client_id: "007"
    client_secret_file: ` + at + `
    base_url: https://api.example.com
    body_style: query
    method: GET
    endpoints:
      token: https://api.example.com/oauth/token
sinks:
  bot:
    type: webhook
    hide_sender: false
    tests: skip
    backfill: deliver
    order: relaxed
    concurrency: 16
    retry:
      initial: 5s
      max: 10h
      give_up: 72h
    url: "***"
    secret_file: ` + at + `
    method: POST
    body: |
      {"a": {{.data.title}},
       "b": 1}
    timeout: 15s
  console:
    type: stdout
    accounts:
      - mystream
    filter: data.title != "$${x}"
    hide_sender: true
    tests: deliver
    backfill: deliver
    order: strict
    rate_limit: 90/m
    retry:
      initial: 5s
      max: 10h
      give_up: 72h
overlays:
  main:
    accounts:
      - mystream
    theme: pop
    widgets:
      - alerts
    position:
      x: 0
      "y": 6
      width: 60
      height: 44
      align: center
    pictures:
      pizza: a.png
    goal:
      count: 0
      period: today
    locale: en
    min_time: 3s
    max_time: 8s
    merge_after: 0
    max_age: "off"
    sound: ding.ogg
    volume: 60
    speech: false
    hide_words:
      - darn
    tests: show
  plain:
    theme: clean
    widgets:
      - alerts
    position:
      x: 20
      "y": 6
      width: 60
      height: 44
      align: center
    goal:
      count: 0
      period: today
    locale: en
    min_time: 3s
    max_time: 8s
    merge_after: 10
    max_age: 10m
    sound: chime
    volume: 60
    speech: false
    tests: show
journal:
  retention: 2h30m
nats:
  listen: 127.0.0.1:4222
http:
  listen: "off"
  public_url: https://relay.example.com
  password_file: ` + at + `
socket:
  handshake_timeout: 10s
  keepalive: 20s
`
	code, stdout, stderr := runMain(t, env, "", "config", "show", "--config", "etc/relay.yaml")
	if diff := gocmp.Diff(want, stdout); code != exit.OK || diff != "" {
		t.Errorf("config show ends with %d (-want +got):\n%s%s", code, diff, stderr)
	}
	if want := "# " + filepath.Join(dir, "etc", "relay.yaml") + "\n"; stderr != want {
		t.Errorf("on stderr it says %q, want %q", stderr, want)
	}
	code, asJSON, stderr := runMain(t, env, "", "config", "show", "--json", "--config", "etc/relay.yaml")
	if code != exit.OK {
		t.Fatalf("config show --json ends with %d: %s", code, stderr)
	}
	var fromYAML, fromJSON any
	converted, err := yaml.YAMLToJSON([]byte(stdout))
	if err != nil {
		t.Fatal(err)
	}
	for text, value := range map[string]*any{string(converted): &fromYAML, asJSON: &fromJSON} {
		if err := json.Unmarshal([]byte(text), value); err != nil {
			t.Fatal(err)
		}
	}
	if diff := gocmp.Diff(fromYAML, fromJSON); diff != "" {
		t.Errorf("config show and config show --json differ (-YAML +JSON):\n%s", diff)
	}
	if err := doctest.Fits(t, doctest.Schema(t), stdout); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}

func TestConfigCheckReportsEveryError(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := datadir.WritePrivate("relay.yaml", []byte("http: {listn: x}\nsinks:\n  bot: {type: webhook, ulr: 'https://h/', secret: "+aSigningSecret+"}\n")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runMain(t, nil, "", "config", "check")
	want := `relay: relay.yaml:1:8: http.listn: unknown key; did you mean "listen"?
relay: relay.yaml:3:3: sinks.bot.url: is missing: write where events are sent, or url_file
relay: relay.yaml:3:24: sinks.bot.ulr: unknown key; did you mean "url"?
`
	if code != exit.Config || stdout != "" || stderr != want {
		t.Errorf("config check ends with %d and says\n%s%s\nwant %d and\n%s", code, stdout, stderr, exit.Config, want)
	}
}
