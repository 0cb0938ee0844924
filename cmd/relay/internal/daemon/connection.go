package daemon

import (
	"sync"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/socket"
)

// connection is the state of an account's connection. For a lost connection, since is the time of the loss, however often it was retried.
type connection struct {
	state      string
	since      time.Time
	reason     string // why it is not connected, or not by WebSocket; empty if unknown
	reconnects int
	transport  socket.Transport // while connected
}

// connTracker tracks the state of an account's connection. Its methods may be called by several goroutines.
type connTracker struct {
	mu    sync.Mutex
	conn  connection
	count int // established connections
}

// now returns the state. Before the first attempt it is connecting.
func (l *connTracker) now() connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conn
	if c.state == "" {
		c.state = api.ConnConnecting
	}
	c.reconnects = max(l.count-1, 0)
	return c
}

func (l *connTracker) observe(st socket.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch st.Phase {
	case socket.Connected:
		if st.Upgraded {
			l.conn.transport, l.conn.reason = st.Transport, ""
			return
		}
		l.count++
		l.conn = connection{state: api.ConnConnected, since: st.Since, transport: st.Transport}
		if st.Err != nil {
			l.conn.reason = st.Err.Error()
		}
		return
	case socket.Stopped:
		return // needLogin follows, or relay is stopping
	case socket.Connecting, socket.Waiting:
	}
	trying := api.ConnConnecting
	if l.count > 0 {
		trying = api.ConnReconnecting
	}
	if l.conn.state != trying {
		l.conn = connection{state: trying, since: st.Since}
	}
	if st.Err != nil {
		l.conn.reason = st.Err.Error()
	}
}

func (l *connTracker) needLogin(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = connection{state: api.ConnLoginNeeded, since: time.Now(), reason: cause.Error()}
}
