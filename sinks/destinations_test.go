package sinks_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
)

// inbox collects arrivals, and holds up who asks while it is shut.
type inbox struct {
	mu   sync.Mutex
	open sync.Cond
	shut bool
	all  []arrival
}

func newInbox() *inbox {
	b := &inbox{}
	b.open.L = &b.mu
	return b
}

func (b *inbox) add(a arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a)
}

func (b *inbox) arrived(*testing.T) []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]arrival(nil), b.all...)
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

// stdoutDestination is a pipe whose reader can stall.
func stdoutDestination(t *testing.T) *destination {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	box := newInbox()
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewReaderSize(stalling{r, box}, 4096)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			var e struct{ ID string }
			if err := json.Unmarshal(line, &e); err != nil {
				t.Errorf("a line is torn: %.100q: %v", line, err)
			}
			box.add(arrival{e.ID, string(line[:len(line)-1])})
		}
	})
	return &destination{
		config: sinks.NewConfig("stdout"), stdout: w, arrived: box.arrived, hang: box.hang,
		end: func() {
			_ = w.Close()
			reading.Wait()
			_ = r.Close()
		},
	}
}

type stalling struct {
	io.Reader
	box *inbox
}

func (s stalling) Read(p []byte) (int, error) {
	s.box.wait()
	return s.Reader.Read(p)
}

const (
	webhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	webhookToken  = "planted-token-in-the-path"
)

// webhookDestination is an HTTP receiver that verifies signatures, can hang, and can be down.
func webhookDestination(t *testing.T) *destination {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	box := newInbox()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // The sender has left.
		}
		box.wait()
		if r.Context().Err() != nil {
			return
		}
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("verify: %v", err)
		}
		if got, want := r.Header.Get("Content-Type"), "application/cloudevents+json; charset=utf-8"; got != want {
			t.Errorf("Content-Type is %q, want %q", got, want)
		}
		box.add(arrival{r.Header.Get("webhook-id"), string(body)})
		w.WriteHeader(http.StatusNoContent)
	})
	address := freeAddress(t)
	server := serve(t, address, handler)
	config, ok := sinks.NewConfig("webhook").(*sinks.WebhookConfig)
	if !ok {
		t.Fatal("no webhook configuration")
	}
	config.URL = secret.New("http://" + address + "/hooks/" + webhookToken + "?key=planted-key-in-the-query")
	config.Secret = secret.New(webhookSecret)
	config.Headers = map[string]secret.String{"Authorization": secret.New("Bearer planted-bearer-token")}
	return &destination{
		config: config, arrived: box.arrived, hang: box.hang,
		outage: func(t *testing.T) func() {
			t.Helper()
			_ = server.Close()
			return func() { server = serve(t, address, handler) }
		},
		secrets: []string{webhookToken, "planted-key-in-the-query", "planted-bearer-token", webhookSecret, webhookSecret[6:]},
		end: func() {
			box.set(false)
			_ = server.Close()
		},
	}
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

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
