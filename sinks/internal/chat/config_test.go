package chat_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

const (
	goodDiscord = "url: https://discord.com/api/webhooks/123456789012345678/planted-token_x\n"
	goodSlack   = "url: https://hooks.slack.com/services/T0PLANTED/B0PLANTED/planted\n"
)

func TestValidateChats(t *testing.T) {
	for _, c := range []struct {
		typ, text string
		want      string // "" when it is valid, else the key and a part of the fault
	}{
		{"discord", goodDiscord, ""},
		{"discord", "url: https://discordapp.com/api/webhooks/1/planted", ""},
		{"discord", "url: https://ptb.discord.com/api/v10/webhooks/1/planted", ""},
		{"discord", "url: https://canary.discord.com/api/v9/webhooks/1/planted?thread_id=5", ""},
		{"discord", "url: https://DISCORD.com/api/webhooks/1/planted/", ""},
		{"discord", "url: http://127.0.0.1:8080/anything", ""},
		{"discord", "url: http://localhost/api/webhooks/1/planted", ""},
		{"discord", "url: 'http://[::1]:1/x'", ""},
		{"discord", "url_file: /x", ""},
		{"discord", "{}", "url: is missing"},
		{"discord", goodDiscord + "url_file: /x", "url_file: conflicts with url"},
		{"discord", "url: http://discord.com/api/webhooks/1/planted", "url: does not begin with https"},
		{"discord", "url: https://discord.com:8443/api/webhooks/1/planted", "url: does not begin with https"},
		{"discord", "url: https://discord.com.evil.example/api/webhooks/1/planted", "url: is not at discord.com"},
		{"discord", "url: https://evil.example/discord.com/api/webhooks/1/planted", "url: is not at discord.com"},
		{"discord", "url: https://discord.com@evil.example/api/webhooks/1/planted", "url: contains a user or password"},
		{"discord", "url: https://10.0.0.1/api/webhooks/1/planted", "url: is not at discord.com"},
		{"discord", "url: https://discord.com/api/webhooks/1", "url: is not the URL of a webhook"},
		{"discord", "url: https://discord.com/api/webhooks/1/planted/slack", "url: is not the URL of a webhook"},
		{"discord", "url: https://discord.com/api/webhooks/x/planted", "url: is not the URL of a webhook"},
		{"discord", "url: https://discord.com/channels/1/2", "url: is not the URL of a webhook"},
		{"discord", "url: https://discord.com/api/webhooks/1/planted%zz", "url: is not a valid URL"},
		{"discord", "url: discord.com/api/webhooks/1/planted", "url: is not an http or https URL"},
		{"discord", goodDiscord + "username: Treats", ""},
		{"discord", goodDiscord + "username: '" + strings.Repeat("🍕", 41) + "'", "username: has more than the 80"},
		{"discord", goodDiscord + "username: My DisCord bot", "username: is refused by Discord"},
		{"discord", goodDiscord + "username: Clyde", "username: is refused by Discord"},
		{"discord", goodDiscord + "username: everyone", "username: is refused by Discord"},
		{"discord", goodDiscord + "username: a@b", "username: is refused by Discord"},
		{"discord", goodDiscord + "avatar_url: https://cdn.example/a.png", ""},
		{"discord", goodDiscord + "avatar_url: a.png", "avatar_url: is not the URL of a picture"},
		{"discord", goodDiscord + "avatar_url: file:///etc/passwd", "avatar_url: is not the URL of a picture"},
		{"discord", goodDiscord + "thread_id: '1234567890'", ""},
		{"discord", goodDiscord + "thread_id: general", "thread_id: is not an id"},
		{"discord", goodDiscord + "thread_name: Treats of the stream", ""},
		{"discord", "url_file: /x\nthread_name: Treats", ""},
		{"discord", goodDiscord + "thread_name: '" + strings.Repeat("🍕", 51) + "'", "thread_name: has more than the 100"},
		{"discord", goodDiscord + "thread_name: ' '", "thread_name: is empty"},
		{"discord", goodDiscord + "thread_id: '1'\nthread_name: Treats", "thread_name: conflicts with thread_id"},
		{"discord", strings.TrimSpace(goodDiscord) + "?thread_id=5\nthread_name: Treats", "thread_name: conflicts with a thread_id in the URL"},
		{"discord", goodDiscord + "color: '#00FF7f'", ""},
		{"discord", goodDiscord + "color: 00ff7f", ""},
		{"discord", goodDiscord + "color: red", "color: is not a color"},
		{"discord", goodDiscord + "color: '#fff'", "color: is not a color"},
		{"discord", goodDiscord + "color: '-00001'", "color: is not a color"},
		{"discord", goodDiscord + "template: '{{.Sender}}: {{.Message}}'", ""},
		{"discord", goodDiscord + "template: '{{.Sendr}}'", "template: 1:3: .Sendr: there is no such field"},
		{"discord", goodDiscord + "template: 'x {{if'", "template: 1:3: "},
		{"discord", goodDiscord + "thumbnails: {pizza: https://cdn.example/p.png}", ""},
		{"discord", goodDiscord + "thumbnails: {pizza: p.png}", "thumbnails: \"pizza\": is not the URL of a picture"},
		{"discord", goodDiscord + "thumbnails: {' ': https://cdn.example/p.png}", "thumbnails: \" \": the word is empty"},
		{"discord", goodDiscord + "timeout: 15ns", "timeout: 15ns is less than 100ms"},

		{"slack", goodSlack, ""},
		{"slack", "url: https://hooks.slack-gov.com/services/T0/B0/planted", ""},
		{"slack", "url: http://127.0.0.1:8080/anything", ""},
		{"slack", "url_file: /x", ""},
		{"slack", "{}", "url: is missing"},
		{"slack", "url: https://hooks.slack.com/workflows/T0/B0/planted", "url: is not the URL of an incoming webhook"},
		{"slack", "url: https://hooks.slack.com/services/T0/planted", "url: is not the URL of an incoming webhook"},
		{"slack", "url: http://hooks.slack.com/services/T0/B0/planted", "url: is not the URL of an incoming webhook"},
		{"slack", "url: https://slack.com/services/T0/B0/planted", "url: is not at hooks.slack.com"},
		{"slack", goodSlack + "template: '*{{.Sender}}*'", ""},
		{"slack", goodSlack + "template: '*{{.Sender'", "template: 1:2: unclosed action"},
		{"slack", goodSlack + "timeout: 0s", "timeout: 0s is less than 100ms"},
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
			if strings.Contains(strings.ToLower(err.Error()), "planted") {
				t.Errorf("a secret shows in %q", err)
			}
			if _, ok := errors.AsType[*field.Error](err); !ok {
				t.Errorf("no key goes with %q", err)
			}
		})
	}
}

func TestValidateChatsReportsEveryFault(t *testing.T) {
	err := sinktest.Decode(t, "discord", "url: x\nusername: clyde\navatar_url: x\nthread_id: x\ncolor: x\ntemplate: '{{'\nthumbnails: {a: b, c: d}\ntimeout: 1ns").Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 8 {
		t.Errorf("faults:\n%v\nwant 9", err)
	}
}
