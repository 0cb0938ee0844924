package config

import (
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/version"
	"github.com/treatrelay/relay/socket"
)

// Socket is the section socket, about the connections to realtime servers.
type Socket struct {
	// How long a realtime server may take to respond, from the name lookup to its handshake. After that, relay gives up the attempt, leaves no
	// connection behind, and tries again.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout" min:"1s" max:"5m"`
	// How often, at least, relay sends something over each connection, so that no proxy or firewall considers it idle and cuts it. If one cuts
	// after 10 seconds, write `5s`. `off`: only what the protocol requires.
	Keepalive time.Duration `yaml:"keepalive" min:"1s" off:"0"`
}

func defaultSocket() Socket {
	return Socket{HandshakeTimeout: socket.DefaultHandshakeTimeout, Keepalive: socket.DefaultKeepalive}
}

// Client returns the configuration of an account's client. The account's own values are missing.
func (s Socket) Client(retryDelays *socket.RetryDelays) socket.Config {
	c := socket.Config{
		Dial:      socket.Dialing{HandshakeTimeout: s.HandshakeTimeout, UserAgent: version.UserAgent(), RetryDelays: retryDelays},
		Keepalive: s.Keepalive,
	}
	if c.Keepalive == 0 {
		c.Keepalive = -1
	}
	return c
}
