//go:build unix

package sinks_test

import (
	"syscall"
	"testing"
)

// processDestinations are those that hang because a signal stops them.
func processDestinations() map[string]func(*testing.T) *destination {
	return map[string]func(*testing.T) *destination{"nats process": processDestination}
}

func processDestination(t *testing.T) *destination {
	t.Helper()
	p := newProcess(t, "")
	p.start(t)
	return &destination{
		config: natsConfig(t, p.url()), once: true, secrets: []string{natsPassword},
		arrived: func(t *testing.T) []arrival {
			t.Helper()
			return p.stored(t, "TREATS")
		},
		hang: func(t *testing.T) func() {
			t.Helper()
			p.signal(t, syscall.SIGSTOP)
			return func() { p.signal(t, syscall.SIGCONT) }
		},
		outage: func(t *testing.T) func() {
			t.Helper()
			p.kill()
			return func() { p.start(t) }
		},
		end: p.kill,
	}
}
