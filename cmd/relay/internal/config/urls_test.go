package config

import (
	"os"
	"strings"
	"testing"
)

// Blanks around a URL do not count, and within one they are refused; so are ports that cannot be.
func TestConfigURLs(t *testing.T) {
	inConfigDir(t)
	at := map[string]string{
		"accounts.m.redirect_url": "accounts: {m: {provider: treatstream, client_id: x, client_secret: 12345678abc, redirect_url: %}}\nsinks: {o: {type: stdout}}\n",
		"sinks.o.url":             anAccount + "sinks: {o: {type: webhook, url: %, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}\n",
		"sinks.o.avatar_url":      anAccount + "sinks: {o: {type: discord, url: 'https://discord.com/api/webhooks/1234567890/abcdefghijklmnopqrstuvwxyz', avatar_url: %}}\n",
		"sinks.o.thumbnails.x":    anAccount + "sinks: {o: {type: discord, url: 'https://discord.com/api/webhooks/1234567890/abcdefghijklmnopqrstuvwxyz', thumbnails: {x: %}}}\n",
	}
	for _, key := range []string{"authorize", "token", "refresh", "socket_token", "history", "socket"} {
		at["accounts.m.endpoints."+key] = "accounts: {m: {provider: treatstream, client_id: x, client_secret: 12345678abc, endpoints: {" + key + ": %}}}\nsinks: {o: {type: stdout}}\n"
	}
	servers := map[string]string{
		"sinks.o.url":      anAccount + "sinks: {o: {type: nats, url: %}}\n",
		"journal.nats_url": anAccount + "journal: {nats_url: %}\nsinks: {o: {type: stdout}}\n",
	}
	try := func(keys map[string]string, good, bad []string) {
		for key, text := range keys {
			for _, value := range good {
				if _, err := load(t, strings.ReplaceAll(text, "%", `"`+value+`"`), os.LookupEnv); err != nil {
					t.Errorf("%q: %v", value, err)
				}
			}
			for _, value := range bad {
				if _, err := load(t, strings.ReplaceAll(text, "%", `"`+value+`"`), os.LookupEnv); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(key, ".x")+": ") {
					t.Errorf("%s %q: %v", key, value, err)
				}
			}
		}
	}
	try(at, []string{"https://example.com/x", "  https://example.com/x ", `\thttps://example.com:8443/x\n`},
		[]string{"https://example.com/a b", "https://exa mple.com/", "https://example.com:99999/", "https://example.com:0/", "https://example.com:x/", "https://example.com/?a=b c", `https://example.com/\t/b`})
	try(servers, []string{" nats://127.0.0.1:4222 ", "nats://127.0.0.1:1, nats://127.0.0.1:2", `nats://127.0.0.1\n`},
		[]string{"nats://127.0.0.1:99999", "nats://127.0.0.1:0", "nats://127.0.0 .1:1", "nats://127.0.0.1:1/a b", "nats://a:1, nats://b:99999"})
	cfg, err := load(t, strings.ReplaceAll(servers["journal.nats_url"], "%", "' nats://a:1 , nats://b:2 '"), os.LookupEnv)
	if err != nil || cfg.Journal.NATSURL.Reveal() != "nats://a:1,nats://b:2" {
		t.Errorf("%v", err)
	}
}

const anAccount = "accounts: {m: {provider: treatstream, client_id: x, client_secret: 12345678abc}}\n"
