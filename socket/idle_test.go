package socket_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

// impatient is a proxy in front of a server that cuts a connection over which the client sends nothing for a while.
func impatient(t *testing.T, server string, idle time.Duration) (url string) {
	address := listen(t, func(near net.Conn) {
		far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(server, "http://"))
		if err != nil {
			return
		}
		defer far.Close()
		go func() { _, _ = io.Copy(near, far) }()
		buffer := make([]byte, 32<<10)
		for near.SetReadDeadline(time.Now().Add(idle)) == nil {
			n, err := near.Read(buffer)
			if err != nil {
				return
			}
			if _, err := far.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	return "http://" + address
}

// TestPeerBehindImpatientProxy keeps a connection over a proxy that a server's ping a minute would lose.
func TestPeerBehindImpatientProxy(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := startPeer(t, append(slices.Clone(kind.args), "--ping-interval", "60000", "--ping-timeout", "60000")...)
			r := start(t, socket.Config{URL: impatient(t, p.url, 3*time.Second), Keepalive: 300 * time.Millisecond}, nil)
			r.phase(socket.Connected, 1)
			time.Sleep(5 * time.Second) // longer than the proxy waits
			p.do(command{"cmd": "emit", "event": "alive"})
			r.received(1)
			if a := p.report(); a.Connected != 1 || strings.Contains(r.history(), "waiting") {
				t.Errorf("connected %d times: %s", a.Connected, r.history())
			}
		})
	}
}
