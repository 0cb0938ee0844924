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

func (i *inbox) add(a Arrival) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.all = append(i.all, a)
}

func (i *inbox) arrived(*testing.T) []Arrival {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]Arrival(nil), i.all...)
}

func (i *inbox) wait() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.shut {
		i.open.Wait()
	}
}

func (i *inbox) isShut() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.shut
}

func (i *inbox) set(shut bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.shut = shut
	i.open.Broadcast()
}

func (i *inbox) hang(*testing.T) func() {
	i.set(true)
	return func() { i.set(false) }
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
