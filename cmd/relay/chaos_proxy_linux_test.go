package main

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// A wire is a TCP proxy that breaks like a network.
type wire struct {
	target   string
	listener net.Listener
	work     sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	random  *rand.Rand
	state   wireState
	corrupt int // pieces to damage, from the server to the client
	conns   map[net.Conn]bool
	closed  bool
}

type wireState int

const (
	flows    wireState = iota
	stalls             // takes connections and bytes, and hands nothing on
	trickles           // some 2 kB a second
	cut                // refuses
)

func newWire(t *testing.T, target string, seed uint64) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: target, listener: l, conns: make(map[net.Conn]bool), random: rand.New(rand.NewPCG(seed, 7))}
	w.changed = sync.NewCond(&w.mu)
	w.work.Go(w.serve)
	t.Cleanup(w.close)
	return w
}

func (w *wire) url() string { return "http://" + w.listener.Addr().String() + "/" }

// set changes what the wire does. A wire that is cut has no connections.
func (w *wire) set(s wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	w.changed.Broadcast()
	if s == cut {
		w.breakAll()
	}
}

// reset breaks all connections.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breakAll()
}

// damage damages the next piece that a client receives, so that no text of it can be right: 0xff is no part of UTF-8, and no
// WebSocket frame begins so.
func (w *wire) damage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corrupt++
}

// heal ends the damage.
func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corrupt = 0
}

func (w *wire) breakAll() {
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		_ = c.Close()
	}
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.breakAll()
	w.mu.Unlock()
	_ = w.listener.Close()
	w.work.Wait()
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		w.work.Go(func() { w.carry(client) })
	}
}

// keep registers a connection to break with the others, unless the wire is cut.
func (w *wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.state == cut {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
		return false
	}
	w.conns[c] = true
	return true
}

func (w *wire) carry(client net.Conn) {
	defer client.Close()
	if !w.keep(client) {
		return
	}
	server, err := net.DialTimeout("tcp", w.target, time.Second)
	if err == nil && !w.keep(server) {
		err = io.EOF
	}
	if err == nil {
		var both sync.WaitGroup
		both.Go(func() { w.copy(server, client, false) })
		both.Go(func() { w.copy(client, server, true) })
		both.Wait()
		_ = server.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, client)
	delete(w.conns, server)
}

// copy carries bytes one way until either end is gone.
func (w *wire) copy(to, from net.Conn, down bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		for piece := buf[:n]; len(piece) > 0; {
			size := w.admit(piece, down)
			if size == 0 {
				return
			}
			if _, err := to.Write(piece[:size]); err != nil {
				return
			}
			piece = piece[size:]
		}
		if err != nil {
			return
		}
	}
}

// admit returns how many bytes may pass now: 0 if the wire is closed.
func (w *wire) admit(piece []byte, down bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state == stalls && !w.closed {
		w.changed.Wait()
	}
	if w.closed {
		return 0
	}
	if w.state == trickles {
		w.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		w.mu.Lock()
		return min(len(piece), 20)
	}
	if down && w.corrupt > 0 {
		w.corrupt--
		piece[w.random.IntN(len(piece))] = 0xff
	}
	return len(piece)
}
