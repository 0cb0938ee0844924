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

	"github.com/treatrelay/relay/auth"
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

// planted are the secrets that the files below hold or reach. None may show in an error.
var planted = []string{"hunter2", "Zm9vYmFy", "correct-horse", "n4ts-p4ss", "Bearer-abc"}

const signingSecret = "whsec_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm8="

// inConfigDir makes a folder with a few files, enters it, and returns a getenv.
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

// A faultyFile is a file with faults, and what is said of them.
type faultyFile struct {
	name, text string
	want       []string
}

func faultyFiles() []faultyFile {
	const account = "accounts:\n  a: {provider: treatstream, client_id: x, client_secret: hunter2}\n"
	return []faultyFile{
		// The file as a whole.
		{"empty", "", []string{"1:1: the file is empty: it wants accounts and sinks, see docs/config.md"}},
		{"comment", "# hunter2\n", []string{"1:1: the file is empty: it wants accounts and sinks, see docs/config.md"}},
		{"only a mark", "---\n", []string{"1:1: the file is empty: it wants accounts and sinks, see docs/config.md"}},
		{"null", "~\n", []string{"1:1: the file is empty: it wants accounts and sinks, see docs/config.md"}},
		{"list", "- hunter2\n", []string{"1:1: want keys with values, got a list"}},
		{"text", "hunter2\n", []string{"1:1: want keys with values, got a text"}},
		{"two documents", "journal: {}\n---\nnats: {}\n", []string{"2:1: a second document begins here: a configuration is one document"}},
		{"two marks", "---\n---\nnats: {}\n", []string{"2:1: a second document begins here: a configuration is one document"}},
		{"after the end", "nats: {}\n...\nhttp: {}\n", []string{"3:1: a second document begins here: a configuration is one document"}},
		{"nul", "nats: {}\nhttp:\n  listen: 12\x007\n", []string{"3:13: the control character U+0000 is not allowed"}},
		{"escape", "a: \x1b[2J\n", []string{"1:4: the control character U+001B is not allowed"}},
		{"latin 1", "nats: {}\n# caf\xe9\n", []string{"2:6: the text is not UTF-8"}},
		{"utf-16", "\xff\xfea\x00:\x00\n\x00", []string{"1:1: the text is not UTF-8"}},
		{"anchors", "journal: &x {}\nnats: *x\nhttp:\n  <<: *x\n", []string{
			"1:10: anchors (&), aliases (*), tags (!) and directives (%) are not supported: put a text that begins with one of these characters in quotes",
			"2:7: anchors (&), aliases (*), tags (!) and directives (%) are not supported: put a text that begins with one of these characters in quotes",
			"4:3: merge keys (<<) are not supported",
			"4:7: anchors (&), aliases (*), tags (!) and directives (%) are not supported: put a text that begins with one of these characters in quotes",
		}},
		{"tag", "journal: !!map {}\n", []string{"1:10: anchors (&), aliases (*), tags (!) and directives (%) are not supported: put a text that begins with one of these characters in quotes"}},
		{"secret like an alias", "accounts: {a: {client_secret: *hunter2}}\n", []string{"1:31: anchors (&), aliases (*), tags (!) and directives (%) are not supported: put a text that begins with one of these characters in quotes"}},
		{"complex key", "? journal\n: {}\n", []string{"1:1: complex keys (?) are not supported"}},
		{"deep list", "a: " + strings.Repeat("[", 1000), []string{"1:19: the file is nested more than 16 levels deep"}},
		{"deep mapping", strings.Repeat("{a: ", 1000), []string{"1:65: the file is nested more than 16 levels deep"}},
		{"deep dashes", strings.Repeat("- ", 1000) + "x", []string{"1:33: the file is nested more than 16 levels deep"}},
		{"lines", strings.Repeat("\n", maxLines), []string{"120001:1: the file has more than 120000 lines"}},
		{"tokens", "a: [" + strings.Repeat("1,", maxTokens) + "]", []string{"1:400002: the file has too many keys and values"}},

		// Syntax.
		{"open quote", "http: {listen: \"hunter2}\n", []string{"1:16: YAML: could not find end character of double-quoted text"}},
		{"open list", "sinks: [1, 2\n", []string{"1:8: YAML: sequence end token ']' not found"}},
		{"tab", "http:\n\tlisten: x\n", []string{"2:1: a tab: use spaces"}},
		{"tab in a text", "http: # a\tcomment\n  listen: é\tx\n", []string{"2:12: a tab: use spaces"}},
		{"tab in quotes", "http:\n  listen: 'x #\t'\n", []string{"2:11: http.listen: want one line of text without control characters"}},
		{"pipe", "accounts: {}\nclient_secret: |hunter2\n", []string{"2:16: YAML: a text that begins with | or > wants quotes"}},
		{"no space", "accounts:\n  client_secret:hunter2\n  b: 1\n", []string{"2:3: YAML: unexpected key name"}},
		{"colon", "a: b: hunter2\n", []string{"1:4: YAML: mapping value is not allowed in this context"}},
		{"variable in braces", "a: {client_secret: ${SECRET}}\n", []string{"1:21: YAML: ',' or '}' must be specified: inside { } and [ ] put ${VAR} in quotes"}},

		// Keys.
		{"unknown keys", "acounts: {}\nzzzzzz: {a: hunter2}\nhttp: {listn: hunter2}\n", []string{
			`1:1: acounts: unknown key; did you mean "accounts"?`,
			"2:1: zzzzzz: unknown key; known: accounts, alerts, http, journal, nats, sinks, socket",
			`3:8: http.listn: unknown key; did you mean "listen"?`,
		}},
		{"origins", account + "sinks: {o: {type: stdout, tests: maybe, backfill: no}}\n", []string{
			"3:34: sinks.o.tests: want deliver or skip, got \"maybe\"",
			"3:51: sinks.o.backfill: want deliver, skip or digest, got \"no\"",
		}},
		{"duplicate keys", "http: {}\nnats:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\nhttp: {}\n", []string{
			"4:3: nats.listen: duplicate key, the first is in line 3",
			"5:1: http: duplicate key, the first is in line 1",
		}},
		{"comma in a secret", "accounts: {a: {provider: treatstream, client_id: x, client_secret: pass,hunter2}}\n", []string{
			"1:73: accounts.a: a key without a value; put a text that has a comma in quotes",
		}},
		{"secret as a key", "http: {\"=hunter2\": 1, x=hunter2: 2}\n", []string{
			`1:8: http."...": unknown key; known: listen`,
			`1:23: http."x...": unknown key; known: listen`,
		}},
		{"names", "accounts:\n  Big: {provider: treatstream, client_id: x, client_secret: hunter2}\nsinks:\n  -x: {type: stdout}\n  a.b: {type: stdout}\n", []string{
			"2:3: accounts.Big: a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit",
			"4:3: sinks.-x: a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit",
			`5:3: sinks."a...": a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit`,
		}},

		// Values.
		{"kinds", "accounts: hunter2\nsinks: [hunter2]\nhttp:\n  listen:\n    hunter2: 1\nnats: {listen: [hunter2]}\n", []string{
			"1:11: accounts: want keys with values, got a text",
			"2:8: sinks: want keys with values, got a list",
			"5:5: http.listen: want a text, got keys with values",
			"6:16: nats.listen: want a text, got a list",
		}},
		{"no value", "http: {listen: }\njournal:\n  retention:\n", []string{
			"1:8: http.listen: has no value; want a text",
			"3:3: journal.retention: has no value; want a duration such as 5s or 72h",
		}},
		{"delivery", "sinks: {o: {type: stdout, filter: 'data.ttile == \"x\"', hide_sender: maybe, order: loose, concurrency: 0, rate_limit: 5}}\nalerts: {sink: nobody}\n", []string{
			"1:35: sinks.o.filter: line 1, column 6: data has no field ttile",
			"1:69: sinks.o.hide_sender: want true, false or hash, got \"maybe\"",
			"1:83: sinks.o.order: want relaxed, strict or none, got \"loose\"",
			"1:103: sinks.o.concurrency: is less than 1: leave the key out for the default",
			"1:118: sinks.o.rate_limit: want a number a second, minute or hour, such as 10/s or 300/m, got \"5\"",
			"2:16: alerts.sink: unknown sink \"nobody\"; known: o",
		}},
		{"durations", "journal: {retention: 5}\nsinks: {o: {type: stdout, retry: {initial: 1h, max: 5m, give_up: -1s}}}\n", []string{
			`1:22: journal.retention: want a duration such as 5s or 72h, got "5"`,
			"2:53: sinks.o.retry.max: is less than initial (1h0m0s)",
			"2:66: sinks.o.retry.give_up: is less than a millisecond: give it a unit, as in 10s",
		}},
		{"short retention", "journal: {retention: 0s}\n", []string{"1:22: journal.retention: is less than a minute: give it a unit, as in 840h"}},
		{"listen", "nats: {listen: 4222}\nhttp: {listen: 127.0.0.1:99999}\n", []string{
			"1:16: nats.listen: want an address and a port, such as 127.0.0.1:4222",
			"2:16: http.listen: want an address and a port, such as 127.0.0.1:4222",
		}},
		{"variables", "http: {listen: '${NOPE}'}\nnats:\n  listen: ${SECRET\njournal:\n  nats_url: ${}\n  retention: ${SECRET}\n", []string{
			"1:16: http.listen: the environment variable NOPE is not set",
			"3:11: nats.listen: after ${ comes the name of an environment variable and then }; write $${ for ${ itself",
			"5:13: journal.nats_url: after ${ comes the name of an environment variable and then }; write $${ for ${ itself",
			"6:14: journal.retention: want a duration such as 5s or 72h",
		}},
		{"variable with lines", "http:\n  listen: ${LINES}\n", []string{"2:11: http.listen: want one line of text without control characters"}},
		{"block text", "http:\n  listen: |\n    hunter2\n", []string{"2:11: http.listen: want one line of text without control characters"}},

		// Accounts.
		{"empty accounts", "accounts:\n  a:\n  b: {}\n", []string{
			"2:3: accounts.a.provider: is missing",
			"2:3: accounts.a.client_id: is missing",
			"2:3: accounts.a.client_secret: is missing; set it or client_secret_file",
			"3:3: accounts.b.provider: is missing",
			"3:3: accounts.b.client_id: is missing",
			"3:3: accounts.b.client_secret: is missing; set it or client_secret_file",
		}},
		{"account values", "accounts:\n  a:\n    provider: treatstram\n    client_id: ''\n    client_secret: ${EMPTY}\n    timezone: Local\n" +
			"    protocol: 5\n    keep_raw: yes\n    redirect_url: http://example.com/?t=hunter2\n", []string{
			`3:15: accounts.a.provider: unknown provider "treatstram"; did you mean "treatstream"?`,
			"4:16: accounts.a.client_id: is empty",
			"5:20: accounts.a.client_secret: is empty",
			`6:15: accounts.a.timezone: want an IANA time zone such as Europe/Berlin, got "Local"`,
			`7:15: accounts.a.protocol: want auto, 3 or 4, got "5"`,
			`8:15: accounts.a.keep_raw: want true or false, got "yes"`,
			"9:19: accounts.a.redirect_url: plain http goes to localhost only: use https",
		}},
		{"endpoints", account + "    endpoints:\n", []string{"3:5: YAML: value is not allowed in this context"}},
		{"endpoint values", strings.Replace(account, "hunter2}", "hunter2, endpoints: {authorize: 'ftp://h/hunter2', token: 'https://u:hunter2@h', "+
			"refresh: 'http://127.0.0.1.example/', socket: 'https://', revoke: 'https://h', history: 'https://h/#hunter2', socket_token: ''}}", 1), []string{
			"2:91: accounts.a.endpoints.authorize: want a URL such as https://HOST/PATH",
			"2:117: accounts.a.endpoints.token: the URL must be without user, password and #",
			"2:149: accounts.a.endpoints.refresh: plain http goes to localhost only: use https",
			"2:186: accounts.a.endpoints.socket: want a URL such as https://HOST/PATH",
			"2:206: accounts.a.endpoints.revoke: means nothing to treatstream: take it out",
			"2:228: accounts.a.endpoints.history: the URL must be without user, password and #",
			"2:264: accounts.a.endpoints.socket_token: want a URL such as https://HOST/PATH",
		}},
		{"braces in an endpoint", strings.Replace(account, "hunter2}", "hunter2, endpoints: {history: 'https://h/{token}?k=hunter2'}}", 1), []string{
			"2:89: accounts.a.endpoints.history: the access token goes where {access_token} stands, spelled like this; take other braces out",
		}},
		{"secret files", "accounts:\n  a: {provider: treatstream, client_id: x, client_secret_file: nope}\n" +
			"  b: {provider: treatstream, client_id: x, client_secret_file: empty}\n" +
			"  c: {provider: treatstream, client_id: x, client_secret_file: big}\n" +
			"  d: {provider: treatstream, client_id: x, client_secret_file: two}\n" +
			"  e: {provider: treatstream, client_id: x, client_secret_file: .}\n" +
			"  f: {provider: treatstream, client_id: x, client_secret_file: ok, client_secret: hunter2}\n" +
			"  g: {provider: treatstream, client_id: x, client_secret_file: ''}\n", []string{
			"2:64: accounts.a.client_secret_file: stat nope: no such file or directory",
			"3:64: accounts.b.client_secret_file: empty is empty",
			"4:64: accounts.c.client_secret_file: big is larger than 64 KiB",
			"5:64: accounts.d.client_secret_file: two holds more than one line of text",
			"6:64: accounts.e.client_secret_file: . is not a regular file",
			"7:64: accounts.f.client_secret_file: this and client_secret are both set: keep one of them",
			"8:64: accounts.g.client_secret_file: is empty",
		}},

		// Sinks.
		{"types", "sinks:\n  a: {}\n  b: {type: stdot}\n  c: {type: [hunter2], ulr: hunter2}\n  d: {type: }\n  e: {type: ''}\n", []string{
			"2:3: sinks.a.type: is missing; known: stdout, nats, webhook, discord, slack",
			`3:13: sinks.b.type: unknown type "stdot"; did you mean "stdout"?`,
			"4:13: sinks.c.type: want a text, got a list",
			"5:7: sinks.d.type: has no value; want a text",
			"6:13: sinks.e.type: is empty",
		}},
		{"accounts of sinks", account + "sinks:\n  o: {type: stdout, accounts: [a, b, a, [a]]}\n  p: {type: stdout, accounts: []}\n  q: {type: stdout, accounts: a}\n", []string{
			`4:35: sinks.o.accounts[1]: unknown account "b"; did you mean "a"?`,
			"4:38: sinks.o.accounts[2]: is in the list twice",
			"4:41: sinks.o.accounts[3]: want a text, got a list",
			"5:31: sinks.p.accounts: is empty: leave the key out for all accounts",
			"6:31: sinks.q.accounts: want a list such as [a, b], got a text",
		}},
		{"two nats sinks on one stream", account + "sinks:\n  a: {type: nats}\n  b: {type: nats, subject: x.y}\n  c: {type: nats, stream: OTHER, subject: z.y}\n", []string{
			"5:6: sinks.b: publishes to the stream of a, which takes each event once only: give it a stream and a subject of its own",
		}},
		{"nearest key of the type", "sinks:\n  bot: {type: webhook, ulr: 'https://h/hunter2', secret: '${SIGNING}', url: 'https://h/'}\n", []string{
			`2:24: sinks.bot.ulr: unknown key; did you mean "url"?`,
		}},

		// The journal.
		{"own journal", "journal: {token_file: ok, creds_file: creds}\n", []string{
			"1:23: journal.token_file: is of use only with nats_url: without it the journal is in files",
			"1:39: journal.creds_file: is of use only with nats_url: without it the journal is in files",
		}},
		{"journal login", "journal:\n  nats_url: nats://u:n4ts-p4ss@h, http://u:n4ts-p4ss@h\n  token: hunter2\n  token_file: ok\n  creds_file: creds\n", []string{
			"2:13: journal.nats_url: want a URL such as nats://HOST:4222 or tls://HOST:4222, several with commas between",
			"4:15: journal.token_file: this and token are both set: keep one of them",
			"5:15: journal.creds_file: this and a token are both set: keep one of them",
		}},
		{"journal creds", "journal: {nats_url: 'tls://h', creds_file: nope}\n", []string{"1:44: journal.creds_file: stat nope: no such file or directory"}},
	}
}

func TestConfigErrors(t *testing.T) {
	getenv := inConfigDir(t)
	for _, test := range faultyFiles() {
		t.Run(test.name, func(t *testing.T) {
			for _, form := range []struct{ name, text string }{
				{"", test.text},
				{" with a byte order mark", "\ufeff" + test.text},
				{" with CRLF", strings.ReplaceAll(test.text, "\n", "\r\n")},
			} {
				if form.name != "" && strings.HasPrefix(test.text, "\xff\xfe") {
					continue
				}
				_, err := load(t, form.text, getenv)
				if err == nil {
					t.Fatalf("the file%s is accepted", form.name)
				}
				want := "relay.yaml:" + strings.Join(test.want, "\nrelay.yaml:")
				if err.Error() != want {
					t.Errorf("errors of the file%s:\n%v\nwant:\n%s", form.name, err, want)
				}
				for _, s := range planted {
					if strings.Contains(err.Error(), s) {
						t.Errorf("an error holds the secret %s:\n%v", s, err)
					}
				}
			}
		})
	}
}

func TestConfigErrorsOfSinksHaveThePlaceOfTheKey(t *testing.T) {
	getenv := inConfigDir(t)
	_, err := load(t, `sinks:
  bot:
    type: webhook
    url: ftp://h/hunter2
    secret: hunter2
    timeout: -1s
  bus:
    type: nats
    subject: "a b"
    user: x
    tls_ca_file: nope
    token_file: ''
`, getenv)
	errs, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("LoadConfig = %v, want ConfigErrors", err)
	}
	got := make(map[string]int)
	for _, e := range errs {
		got[e.Path] = e.Line
		for _, s := range planted {
			if strings.Contains(e.Error(), s) {
				t.Errorf("an error holds a secret: %v", e)
			}
		}
	}
	for path, line := range map[string]int{
		"sinks.bot.url": 4, "sinks.bot.secret": 5, "sinks.bot.timeout": 6, "sinks.bus.subject": 9, "sinks.bus.user": 10,
		"sinks.bus.tls_ca_file": 11, "sinks.bus.token_file": 12,
	} {
		if got[path] != line {
			t.Errorf("the error of %s is in line %d, want %d; all:\n%v", path, got[path], line, err)
		}
	}
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
	p, _ := provider.Lookup("treatstream")
	retry := schedule.Policy{Initial: 5 * time.Second, Max: 10 * time.Hour, GiveUp: 72 * time.Hour}
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
	want := &Config{
		Path: "relay.yaml",
		Accounts: []Account{
			{
				Config: auth.Config{
					Account: "mystream", Provider: p, ClientID: "007", ClientSecret: secret.New("hunter2-env"),
					RedirectURL: "http://[::1]:8919/back",
					Overrides: auth.Overrides{Endpoints: provider.Endpoints{
						Authorize: "http://localhost:1/a", Token: "http://127.0.0.1:1/t", Socket: "https://example.com",
					}},
				},
				Location: berlin, Protocol: socket.EIO3, KeepRaw: true, Reconcile: 90 * time.Minute,
			},
			{
				Config: auth.Config{
					Account: "other", Provider: p, ClientID: "a${b}$", ClientSecret: secret.New("hunter2-crlf"),
					RedirectURL: "http://localhost:8919",
				},
				Location: time.UTC, Reconcile: DefaultReconcile,
			},
		},
		Sinks: []Sink{
			{Name: "bot", Type: "webhook", Lane: delivery.LaneConfig{Concurrency: 16, Retry: retry}, Config: hook},
			{Name: "bus", Type: "nats", Config: bus, Lane: delivery.LaneConfig{Retry: schedule.Policy{Initial: 7 * time.Second, Max: retry.Max, GiveUp: retry.GiveUp}}},
			{Name: "console", Type: "stdout", Lane: delivery.LaneConfig{Selection: rules.Selection{Accounts: []string{"other"}}, Retry: retry}, Config: &stdout.Config{}},
		},
		Journal: Journal{NATSURL: secret.New("nats://u:n4ts-p4ss@h:4222,nats://i"), CredsFile: "creds", Retention: 48 * time.Hour},
		NATS:    NATS{Listen: ":0"},
		HTTP:    HTTP{Listen: "127.0.0.1:8350"},
		Socket:  Socket{HandshakeTimeout: 10 * time.Second, Keepalive: keepalive{20 * time.Second}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("LoadConfig =\n%+v\nwant\n%+v", got, want)
	}
}

func TestConfigReconcile(t *testing.T) {
	for text, want := range map[string]time.Duration{"off": 0, "0": 0, "1m": time.Minute, "2h": 2 * time.Hour, "59s": -1, "5": -1, "-1m": -1, "on": -1} {
		var i interval
		switch err := i.UnmarshalText([]byte(text)); {
		case want < 0 && err == nil:
			t.Errorf("%q is taken for %v", text, i.every)
		case want >= 0 && (err != nil || i.every != want):
			t.Errorf("%q is taken for %v (%v), want %v", text, i.every, err, want)
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
		if c.Journal.Retention != 840*time.Hour || c.NATS.Listen != "127.0.0.1:4222" || c.HTTP.Listen != "" || len(c.Accounts) > 0 {
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
					t.Errorf("a warning holds a secret: %v", w)
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
