package config

import (
	"errors"
	"strings"
	"testing"
)

// A faultyFile is a file with faults, and the errors about them.
type faultyFile struct {
	name, text string
	want       []string
}

func faultyFiles() []faultyFile {
	const account = "accounts:\n  a: {provider: treatstream, client_id: x, client_secret: hunter2}\n"
	return []faultyFile{
		// The file as a whole.
		{"empty", "", []string{"1:1: the file is empty: add accounts and sinks, see docs/config.md"}},
		{"comment", "# hunter2\n", []string{"1:1: the file is empty: add accounts and sinks, see docs/config.md"}},
		{"only a mark", "---\n", []string{"1:1: the file is empty: add accounts and sinks, see docs/config.md"}},
		{"null", "~\n", []string{"1:1: the file is empty: add accounts and sinks, see docs/config.md"}},
		{"list", "- hunter2\n", []string{"1:1: want keys with values, got a list"}},
		{"text", "hunter2\n", []string{"1:1: want keys with values, got a text"}},
		{"two documents", "journal: {}\n---\nnats: {}\n", []string{"2:1: a second document begins here: a configuration is a single document"}},
		{"two marks", "---\n---\nnats: {}\n", []string{"2:1: a second document begins here: a configuration is a single document"}},
		{"after the end", "nats: {}\n...\nhttp: {}\n", []string{"3:1: a second document begins here: a configuration is a single document"}},
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
		{"pipe", "accounts: {}\nclient_secret: |hunter2\n", []string{"2:16: YAML: put a text that begins with | or > in quotes"}},
		{"no space", "accounts:\n  client_secret:hunter2\n  b: 1\n", []string{"2:3: YAML: unexpected key name"}},
		{"colon", "a: b: hunter2\n", []string{"1:4: YAML: mapping value is not allowed in this context"}},
		{"variable in braces", "a: {client_secret: ${SECRET}}\n", []string{"1:21: YAML: ',' or '}' must be specified: inside { } and [ ] put ${VAR} in quotes"}},

		// Keys.
		{"unknown keys", "acounts: {}\nzzzzzz: {a: hunter2}\nhttp: {listn: hunter2}\n", []string{
			`1:1: acounts: unknown key; did you mean "accounts"?`,
			"2:1: zzzzzz: unknown key; known: accounts, alerts, http, journal, nats, overlays, sinks, socket",
			`3:8: http.listn: unknown key; did you mean "listen"?`,
		}},
		{"origins", account + "sinks: {o: {type: stdout, tests: maybe, backfill: no}}\n", []string{
			"3:34: sinks.o.tests: want deliver or skip, got \"maybe\"",
			"3:51: sinks.o.backfill: want deliver, skip or digest, got \"no\"",
		}},
		{"overlay words", "overlays: {main: {theme: neon, widgets: [ticker, poll], tests: deliver, goal: {period: year}, position: {align: top}}}\n", []string{
			`1:26: overlays.main.theme: want clean, pop, night or custom, got "neon"`,
			`1:50: overlays.main.widgets[1]: want alerts, ticker or counter, got "poll"`,
			`1:64: overlays.main.tests: want show or skip, got "deliver"`,
			`1:88: overlays.main.goal.period: want today, stream or month, got "year"`,
			`1:113: overlays.main.position.align: want left, center or right, got "top"`,
		}},
		{"overlay ranges", "overlays:\n  main: {min_time: 0s, max_age: 0s, merge_after: 1000, volume: 101}\n  b: {min_time: 9s, goal: {count: -1}, position: {x: -1, width: 90}}\n", []string{
			`2:20: overlays.main.min_time: want a duration such as 5s or 72h, from 1s to 1h, got "0s"`,
			`2:33: overlays.main.max_age: want a duration such as 5s or 72h, at least 1s, or off, got "0s"`,
			`2:50: overlays.main.merge_after: want a whole number from 0 to 999, got "1000"`,
			`2:64: overlays.main.volume: want a whole number from 0 to 100, got "101"`,
			"3:3: overlays.b.max_time: 8s is shorter than min_time (9s)",
			`3:35: overlays.b.goal.count: want a whole number of at least 0, got "-1"`,
			`3:54: overlays.b.position.x: want a whole number from 0 to 95, got "-1"`,
			"3:65: overlays.b.position.width: 90% is outside the page; use 5 to 80",
		}},
		{"overlay files and languages", "overlays:\n  main: {sound: ../a.wav, pictures: {pizza: a.txt, '!': b.png}, locale: '<b>', speech_language: x}\n", []string{
			`2:17: overlays.main.sound: "../a.wav" is neither chime, pop, none nor a sound; put a wav, mp3, ogg or m4a in the overlay's folder and write only its name`,
			`2:45: overlays.main.pictures.pizza: "a.txt" is not a picture; use png, jpg, gif, webp, avif or svg`,
			`2:57: overlays.main.pictures."...": "!" has no letter; use a word of the title`,
			`2:73: overlays.main.locale: "<b>" is not a language tag; write it as in en or pt-BR`,
			`2:97: overlays.main.speech_language: "x" is not a language tag; write it as in en-GB`,
		}},
		{"overlay lists", account + "overlays: {Main: {}, main: {accounts: [b], widgets: [], hide_words: [one, two words]}, b: {accounts: []}, c: {acounts: [a]}}\n", []string{
			"3:12: overlays.Main: a name has 1 to 63 of a-z, 0-9, _ and -, and begins with a letter or digit",
			`3:40: overlays.main.accounts[0]: unknown account "b"; did you mean "a"?`,
			"3:53: overlays.main.widgets: is empty; use alerts, ticker, counter",
			`3:75: overlays.main.hide_words[1]: "two words" is not one word; write each word on its own`,
			"3:102: overlays.b.accounts: is empty: leave the key out for all accounts",
			`3:111: overlays.c.acounts: unknown key; did you mean "accounts"?`,
		}},
		{"http", "http:\n  listen: ''\n  public_url: https://h/path\n  password_file: missing\n  tls: {cert_file: ok}\n", []string{
			"2:11: http.listen: want an address and a port, such as 127.0.0.1:4222",
			"3:15: http.public_url: want a URL such as https://relay.example.com, without a path",
			"4:18: http.password_file: stat missing: no such file or directory",
			"5:8: http.tls: wants both cert_file and key_file, or neither",
		}},
		{"http proxies", "http:\n  trusted_proxies: [10.0.0.0/8, proxy.example, 10.1.2.3/8, 0.0.0.0/0, '::ffff:10.0.0.0/104', 'fe80::1%eth0', '::1', fd00::/8, 127.0.0.1]\n", []string{
			`2:33: http.trusted_proxies[1]: want an address or a network such as 127.0.0.1 or 10.0.0.0/8, got "proxy.example"`,
			"2:48: http.trusted_proxies[2]: has bits beyond the length of its prefix: write 10.0.0.0/8",
			"2:60: http.trusted_proxies[3]: trusts every client, and a client can send any address: name only the addresses of your proxies",
			`2:71: http.trusted_proxies[4]: write the IPv4 network without ::ffff:, got "::ffff:10.0.0.0/104"`,
			`2:94: http.trusted_proxies[5]: want an address or a network such as 127.0.0.1 or 10.0.0.0/8, got "fe80::1%eth0"`,
		}},
		{"http beside nats", "sinks: {n: {type: nats, subject: x}}\nhttp: {listen: 127.0.0.1:4222}\n", []string{
			"2:16: http.listen: is the address of nats.listen too: choose another port",
		}},
		{"duplicate keys", "http: {}\nnats:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\nhttp: {}\n", []string{
			"4:3: nats.listen: duplicate key, the first is in line 3",
			"5:1: http: duplicate key, the first is in line 1",
		}},
		{"comma in a secret", "accounts: {a: {provider: treatstream, client_id: x, client_secret: pass,hunter2}}\n", []string{
			"1:73: accounts.a: a key without a value; put a text that has a comma in quotes",
		}},
		{"secret as a key", "http: {\"=hunter2\": 1, x=hunter2: 2}\n", []string{
			`1:8: http."...": unknown key; known: listen, moderator_password_file, password_file, public_url, tls, trusted_proxies`,
			`1:23: http."x...": unknown key; known: listen, moderator_password_file, password_file, public_url, tls, trusted_proxies`,
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
			"3:3: journal.retention: has no value; want a duration such as 5s or 72h, at least 1m",
		}},
		{"delivery", "sinks: {o: {type: stdout, filter: 'data.ttile == \"x\"', hide_sender: maybe, order: loose, concurrency: 0, rate_limit: 5}}\nalerts: {sink: nobody}\n", []string{
			"1:35: sinks.o.filter: line 1, column 6: data has no field ttile",
			"1:69: sinks.o.hide_sender: want false, true or hash, got \"maybe\"",
			"1:83: sinks.o.order: want relaxed, strict or none, got \"loose\"",
			"1:103: sinks.o.concurrency: want a whole number of at least 1, got \"0\"",
			"1:118: sinks.o.rate_limit: want a number per second, minute or hour, such as 10/s or 300/m, got \"5\"",
			"2:16: alerts.sink: unknown sink \"nobody\"; known: o",
		}},
		{"durations", "journal: {retention: 5}\nsinks: {o: {type: stdout, retry: {initial: 1h, max: 5m, give_up: -1s}}}\n", []string{
			`1:22: journal.retention: want a duration such as 5s or 72h, at least 1m, got "5"`,
			"2:53: sinks.o.retry.max: is less than initial (1h)",
			`2:66: sinks.o.retry.give_up: want a duration such as 5s or 72h, at least 1ms, got "-1s"`,
		}},
		{"short retention", "journal: {retention: 0s}\n", []string{`1:22: journal.retention: want a duration such as 5s or 72h, at least 1m, got "0s"`}},
		{"listen", "nats: {listen: 4222}\nhttp: {listen: 127.0.0.1:99999}\n", []string{
			"1:16: nats.listen: want an address and a port, such as 127.0.0.1:4222",
			"2:16: http.listen: want an address and a port, such as 127.0.0.1:4222",
		}},
		{"variables", "http: {listen: '${NOPE}'}\nnats:\n  listen: ${SECRET\njournal:\n  nats_url: ${}\n  retention: ${SECRET}\n", []string{
			"1:16: http.listen: the environment variable NOPE is not set",
			"3:11: nats.listen: ${ must be followed by the name of an environment variable and }; write $${ for a literal ${",
			"5:13: journal.nats_url: ${ must be followed by the name of an environment variable and }; write $${ for a literal ${",
			"6:14: journal.retention: want a duration such as 5s or 72h, at least 1m",
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
			"9:19: accounts.a.redirect_url: plain http is only for localhost: use https",
		}},
		{"endpoints", account + "    endpoints:\n", []string{"3:5: YAML: value is not allowed in this context"}},
		{"endpoint values", strings.Replace(account, "hunter2}", "hunter2, endpoints: {authorize: 'ftp://h/hunter2', token: 'https://u:hunter2@h', "+
			"refresh: 'http://127.0.0.1.example/', socket: 'https://', revoke: 'https://h', history: 'https://h/#hunter2', socket_token: ''}}", 1), []string{
			"2:91: accounts.a.endpoints.authorize: want a URL such as https://HOST/PATH",
			"2:117: accounts.a.endpoints.token: the URL must be without user, password and #",
			"2:149: accounts.a.endpoints.refresh: plain http is only for localhost: use https",
			"2:186: accounts.a.endpoints.socket: want a URL such as https://HOST/PATH",
			"2:206: accounts.a.endpoints.revoke: does not apply to treatstream: remove it",
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
			"5:6: sinks.b: publishes to the stream of a, which accepts each event only once: give it its own stream and subject",
		}},
		{"nearest key of the type", "sinks:\n  bot: {type: webhook, ulr: 'https://h/hunter2', secret: '${SIGNING}', url: 'https://h/'}\n", []string{
			`2:24: sinks.bot.ulr: unknown key; did you mean "url"?`,
		}},

		// The journal.
		{"own journal", "journal: {token_file: ok, creds_file: creds}\n", []string{
			"1:23: journal.token_file: applies only with nats_url: without it the journal is in files",
			"1:39: journal.creds_file: applies only with nats_url: without it the journal is in files",
		}},
		{"journal login", "journal:\n  nats_url: nats://u:n4ts-p4ss@h, http://u:n4ts-p4ss@h\n  token: hunter2\n  token_file: ok\n  creds_file: creds\n", []string{
			"2:13: journal.nats_url: want a URL such as nats://HOST:4222 or tls://HOST:4222, or several separated by commas",
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
						t.Errorf("an error contains the secret %s:\n%v", s, err)
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
				t.Errorf("an error contains a secret: %v", e)
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
