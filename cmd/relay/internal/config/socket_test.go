package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/socket"
)

func TestConfigSocket(t *testing.T) {
	getenv := inConfigDir(t)
	for text, want := range map[string]Socket{
		"socket:\n":                                      {HandshakeTimeout: 10 * time.Second, Keepalive: 20 * time.Second},
		"socket: {handshake_timeout: 30s}":               {HandshakeTimeout: 30 * time.Second, Keepalive: 20 * time.Second},
		"socket: {keepalive: 5s}":                        {HandshakeTimeout: 10 * time.Second, Keepalive: 5 * time.Second},
		"socket: {keepalive: off}":                       {HandshakeTimeout: 10 * time.Second, Keepalive: 0},
		"socket: {handshake_timeout: 1s, keepalive: 1m}": {HandshakeTimeout: time.Second, Keepalive: time.Minute},
	} {
		c, err := load(t, text, getenv)
		if err != nil || c.Socket != want {
			t.Errorf("%q: %+v and %v, want %+v", text, c, err, want)
		}
	}
	for text, want := range map[string]string{
		"socket: {handshake_timeout: 10}":    "socket.handshake_timeout",
		"socket: {handshake_timeout: 500ms}": "want a duration such as 5s or 72h, from 1s to 5m",
		"socket: {handshake_timeout: 1h}":    "want a duration such as 5s or 72h, from 1s to 5m",
		"socket: {keepalive: 10ms}":          "want a duration such as 5s or 72h, at least 1s, or off",
		"socket: {keepalive: never}":         "want a duration such as 5s or 72h, at least 1s, or off",
		"socket: {keepalives: 5s}":           `did you mean "keepalive"?`,
	} {
		if _, err := load(t, text, getenv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	retryDelays := new(socket.RetryDelays)
	off := Socket{HandshakeTimeout: time.Minute}.Client(retryDelays)
	if off.Keepalive >= 0 || off.Dial.HandshakeTimeout != time.Minute || off.Dial.RetryDelays != retryDelays || off.Dial.UserAgent != version.UserAgent() {
		t.Errorf("config %+v", off)
	}
	if text := version.UserAgent(); !strings.HasPrefix(text, "relay/") || !strings.HasSuffix(text, " (+https://github.com/treatrelay/relay)") {
		t.Errorf("user agent %q", text)
	}
}

func TestDifferences(t *testing.T) {
	was := defaults().Settings
	now := was
	if got := now.Differences(was); got != nil {
		t.Errorf("equal settings differ in %q", got)
	}
	now.Socket.Keepalive, now.Alerts.Sink, now.Journal.Token = time.Minute, "chat", secret.New("hunter2")
	if got, want := now.Differences(was), []string{"alerts", "journal", "socket"}; !slices.Equal(got, want) {
		t.Errorf("the settings differ in %q, want %q", got, want)
	}
}
