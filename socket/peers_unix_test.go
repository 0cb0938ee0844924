//go:build unix

package socket_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

func TestPeerFrozen(t *testing.T) {
	const interval, timeout = 500 * time.Millisecond, time.Second
	eachPeer(t, func(t *testing.T, p *peer, _ socket.Protocol) {
		r := start(t, socket.Config{URL: p.url}, nil)
		r.phase(socket.Connected, 1)
		frozen := time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		s := r.phase(socket.Waiting, 1)
		if took := s.Since.Sub(frozen); took > interval+timeout+5*time.Second {
			t.Errorf("noticed after %v, want about %v", took, interval+timeout)
		}
		if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		r.phase(socket.Connected, 2)
	}, "--ping-interval", "500", "--ping-timeout", "1000")
}
