package config

import (
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/socket"
)

func TestConfigSocket(t *testing.T) {
	getenv := inConfigDir(t)
	for text, want := range map[string]Socket{
		"socket:\n":                                      {10 * time.Second, keepalive{20 * time.Second}},
		"socket: {handshake_timeout: 30s}":               {30 * time.Second, keepalive{20 * time.Second}},
		"socket: {keepalive: 5s}":                        {10 * time.Second, keepalive{5 * time.Second}},
		"socket: {keepalive: off}":                       {10 * time.Second, keepalive{}},
		"socket: {handshake_timeout: 1s, keepalive: 1m}": {time.Second, keepalive{time.Minute}},
	} {
		c, err := load(t, text, getenv)
		if err != nil || c.Socket != want {
			t.Errorf("%q: %+v and %v, want %+v", text, c, err, want)
		}
	}
	for text, want := range map[string]string{
		"socket: {handshake_timeout: 10}":    "socket.handshake_timeout",
		"socket: {handshake_timeout: 500ms}": "want 1s to 5m, such as 10s",
		"socket: {handshake_timeout: 1h}":    "want 1s to 5m, such as 10s",
		"socket: {keepalive: 10ms}":          "a duration of at least a second, such as 20s, or off",
		"socket: {keepalive: never}":         "a duration of at least a second, such as 20s, or off",
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
