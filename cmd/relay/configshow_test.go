package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/delivery/rules"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/socket"
)

// secretConfig has every key that may hold a secret, in every form. A plant says which it is.
const secretConfig = `
accounts:
  inline: {provider: treatstream, client_id: '${CLIENT}', client_secret: PLANT-inline}
  var: {provider: treatstream, client_id: x, client_secret: '${PLANTED}'}
  file: {provider: treatstream, client_id: x, client_secret_file: planted}
  partner:
    provider: client-credentials
    client_id: x
    client_secret: x${PLANTED}x
    base_url: https://api.example.com
    params: {inline: PLANT-param, var: '${PLANTED}'}
sinks:
  nats_url: {type: nats, stream: A, url: 'nats://user:PLANT-password@h:4222,tls://PLANT-user@i'}
  nats_password: {type: nats, stream: B, url: nats://h, user: u, password: PLANT-password}
  nats_password_file: {type: nats, stream: C, url: nats://h, user: u, password_file: planted}
  nats_token: {type: nats, stream: D, url: nats://h, token: '${PLANTED}'}
  nats_token_file: {type: nats, stream: E, url: nats://h, token_file: planted}
  nats_creds: {type: nats, stream: F, url: nats://h, creds_file: planted}
  bot:
    type: webhook
    url: https://bot.example/PLANT-path?token=PLANT-query
    secret: SIGNING
    headers: {Authorization: Bearer PLANT-header, X-Var: 'a ${PLANTED} b'}
    proxy: http://user:PLANT-password@proxy.example:3128
    body: '{"token": "${PLANTED}", "title": {{.data.title}}}'
  bot_var: {type: webhook, url: '${PLANTED_URL}', secret: '${SIGNING}', proxy: 'http://${PLANTED}@proxy.example'}
  bot_list: {type: webhook, url: 'https://h/', secrets: [SIGNING, '${SIGNING}'], private_key: PRIVATE}
  bot_files: {type: webhook, url_file: url, secret_file: signing, private_key_file: private}
  chat: {type: discord, url: 'https://discord.com/api/webhooks/1/PLANT-token'}
  chat_file: {type: discord, url_file: chat}
  team: {type: slack, url: 'https://hooks.slack.com/services/T0/B0/PLANTtoken'}
  team_file: {type: slack, url_file: team}
journal: {nats_url: 'nats://user:PLANT-password@h', token: PLANT-journal}
`

// secretWorld fills a folder with what secretConfig names, enters it, and returns its variables.
func secretWorld(t *testing.T) (config string, env map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	config = strings.NewReplacer("SIGNING,", signingSecret+",", "secret: SIGNING", "secret: "+signingSecret, "PRIVATE}", privateKey+"}").Replace(secretConfig)
	for name, text := range map[string]string{
		"relay.yaml": config, "planted": "PLANT-file", "signing": signingSecret, "private": privateKey, "url": "https://h/PLANT-url-file",
		"chat": "https://discord.com/api/webhooks/1/PLANT-chat", "team": "https://hooks.slack.com/services/T0/B0/PLANTteam",
	} {
		if err := writePrivate(name, []byte(text+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	return config, map[string]string{
		"PLANTED": "PLANT-variable", "PLANTED_URL": "https://h/PLANT-variable", "SIGNING": signingSecret, "CLIENT": "a-client",
	}
}

// runMain runs a command line and returns its exit code and what it wrote.
func runMain(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, streams{in: strings.NewReader(stdin), out: &out, err: &errs, getenv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}})
	return code, out.String(), errs.String()
}

func TestConfigShowHasNoSecret(t *testing.T) {
	config, env := secretWorld(t)
	token := regexp.MustCompile(`PLANT|` + signingSecret[6:30] + `|` + strings.TrimPrefix(privateKey, "whsk_")[:24])
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
			if got := strings.Count(stdout, masked); got < 25 {
				t.Errorf("%v masks %d secrets only", args, got)
			}
		}
	}
	// Every key that is a secret is in the file above.
	account, journal := accountKeys{}, JournalConfig{}
	structs := []reflect.Value{reflect.ValueOf(account), reflect.ValueOf(journal)}
	for _, name := range sinks.Types() {
		structs = append(structs, reflect.ValueOf(sinks.NewConfig(name)).Elem())
	}
	for _, s := range structs {
		for f := range s.Fields() {
			item := f.Type
			if item.Kind() == reflect.Slice || item.Kind() == reflect.Map {
				item = item.Elem()
			}
			key := f.Tag.Get("yaml")
			if item == reflect.TypeFor[secret.String]() && !regexp.MustCompile(`\b`+key+`:`).MatchString(config) {
				t.Errorf("%s of %s is a secret, and is not planted", key, s.Type())
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
journal: {retention: '${RETENTION}'}
`,
	} {
		if err := writePrivate(path, []byte(text)); err != nil {
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
    timezone: Europe/Berlin
    endpoints:
      authorize: https://treatstream.com/Oauth2/Authorize
      token: https://treatstream.com/Oauth2/Authorize/token
      refresh: https://treatstream.com/Oauth2/RefreshToken
      socket_token: https://treatstream.com/Oauth2/Authorize/socketToken
      history: https://treatstream.com/api/getMonthTreats/
      socket: https://nodeapi.treatstream.com/
    protocol: 3
    keep_raw: false
    reconcile: "off"
    scopes:
      - userinfo
    body_style: form
    redirect_parameter: redirect_uri
  partner:
    provider: client-credentials
    client_id: "007"
    client_secret_file: ` + at + `
    endpoints:
      token: https://api.example.com/oauth/token
    base_url: https://api.example.com
    body_style: query
    method: GET
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
journal:
  retention: 2h30m
nats:
  listen: 127.0.0.1:4222
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
	if err := fitsSchema(t, configSchema(t), stdout); err != nil {
		t.Errorf("the schema refuses it: %v", err)
	}
}

func TestConfigCheckTellsEverything(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := writePrivate("relay.yaml", []byte("http: {listn: x}\nsinks:\n  bot: {type: webhook, ulr: 'https://h/', secret: "+signingSecret+"}\n")); err != nil {
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

// Every value is written as it may be read.
func TestWrittenValue(t *testing.T) {
	for _, value := range []any{
		false, true, 3, 90 * time.Minute, 72 * time.Hour, 1500 * time.Millisecond, 61 * time.Second, time.Hour + time.Second,
		interval{0},
		interval{20 * time.Minute},
		keepalive{0},
		keepalive{5 * time.Second},
		senderRule{},
		senderRule{rules.HideSender},
		senderRule{rules.HashSender},
		inclusion{},
		inclusion{true},
		backfill{},
		backfill{rules.SkipBackfill},
		backfill{rules.DigestBackfill},
		order{},
		order{orderStrict},
		order{orderNone},
		rateLimit{5},
		rateLimit{7.0 / 60},
		rateLimit{1.0 / 3600},
		rateLimit{100_001.0 / 3600},
		zone{time.UTC},
		revision{},
		revision{socket.EIO3},
		revision{socket.EIO4},
	} {
		text := strings.Trim(mustJSON(t, writtenValue(value)), `"`)
		fresh := reflect.New(reflect.TypeOf(value)).Elem()
		if err := setScalar(fresh, text); err != nil || fresh.Interface() != value {
			t.Errorf("%#v is written %s, which reads as %#v (%v)", value, text, fresh.Interface(), err)
		}
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
