package config

import (
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/socket"
)

// Socket is the section socket, about the connections to realtime servers.
type Socket struct {
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	Keepalive        keepalive     `yaml:"keepalive"`
}

func defaultSocket() Socket {
	return Socket{HandshakeTimeout: socket.DefaultHandshakeTimeout, Keepalive: keepalive{socket.DefaultKeepalive}}
}

func (s Socket) check(d *decoder) {
	const least, most = time.Second, 5 * time.Minute
	if s.HandshakeTimeout < least || s.HandshakeTimeout > most {
		d.reject("socket.handshake_timeout", fmt.Sprintf("want %s to %s, such as 10s", WrittenDuration(least), WrittenDuration(most)))
	}
}

// Client is what a client of an account is made with.
func (s Socket) Client(retryDelays *socket.RetryDelays) socket.Config {
	c := socket.Config{
		Dial:      socket.Dialing{HandshakeTimeout: s.HandshakeTimeout, UserAgent: version.UserAgent(), RetryDelays: retryDelays},
		Keepalive: s.Keepalive.every,
	}
	if c.Keepalive == 0 {
		c.Keepalive = -1
	}
	return c
}

// A keepalive is how often something goes over a connection. Zero: only what the protocol wants.
type keepalive struct{ every time.Duration }

func (keepalive) wanted() string { return "a duration of at least a second, such as 20s, or off" }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *keepalive) UnmarshalText(text []byte) (err error) {
	if s := string(text); s == "off" || s == "0" {
		k.every = 0
		return nil
	}
	if k.every, err = time.ParseDuration(string(text)); err == nil && k.every < time.Second {
		err = errors.New("less than a second")
	}
	return err
}
