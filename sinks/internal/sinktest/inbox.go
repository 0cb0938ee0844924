package sinktest

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// inbox collects arrivals, and holds up who asks while it is shut.
type inbox struct {
	mu   sync.Mutex
	open sync.Cond
	shut bool
	all  []Arrival
}

func newInbox() *inbox {
	b := &inbox{}
	b.open.L = &b.mu
	return b
}

func (b *inbox) add(a Arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a)
}

func (b *inbox) arrived(*testing.T) []Arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Arrival(nil), b.all...)
}

func (b *inbox) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.shut {
		b.open.Wait()
	}
}

func (b *inbox) isShut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.shut
}

func (b *inbox) set(shut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = shut
	b.open.Broadcast()
}

func (b *inbox) hang(*testing.T) func() {
	b.set(true)
	return func() { b.set(false) }
}

func serve(t *testing.T, address string, handler http.Handler) *http.Server {
	t.Helper()
	var listener net.Listener
	var err error
	for range 100 {
		if listener, err = net.Listen("tcp", address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	return server
}

// FreeAddress is an address of this machine that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
