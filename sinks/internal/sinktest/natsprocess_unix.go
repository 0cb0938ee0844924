//go:build unix

package sinktest

import (
	"syscall"
	"testing"
)

// ProcessDestinations are those that hang because a signal stops them.
func ProcessDestinations() map[string]func(*testing.T) *Destination {
	return map[string]func(*testing.T) *Destination{"nats process": processDestination}
}

func processDestination(t *testing.T) *Destination {
	t.Helper()
	p := NewProcess(t, "")
	p.Start(t)
	return &Destination{
		Config: NATSConfig(t, p.URL()), Once: true, Secrets: []string{NATSPassword},
		Arrived: func(t *testing.T) []Arrival {
			t.Helper()
			return p.Stored(t, "TREATS")
		},
		Hang: func(t *testing.T) func() {
			t.Helper()
			p.Signal(t, syscall.SIGSTOP)
			return func() { p.Signal(t, syscall.SIGCONT) }
		},
		Outage: func(t *testing.T) func() {
			t.Helper()
			p.Kill()
			return func() { p.Start(t) }
		},
		End: p.Kill,
	}
}
