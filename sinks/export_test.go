package sinks

import (
	"net"
	"net/netip"
	"time"
)

// SetAnswerTimeout shortens the wait of a nats sink for an answer of the server.
func SetAnswerTimeout(c *NATSConfig, d time.Duration) { c.answerTimeout = d }

// SetResolver makes a webhook sink ask r for names.
func SetResolver(c *WebhookConfig, r *net.Resolver) { c.resolver = r }

// CheckAddress asks the guard of host about an address.
func CheckAddress(host string, addr netip.Addr) error { return newGuard(host, nil).check(addr) }
