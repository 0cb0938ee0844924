package sinktest

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/webhook"
)

// StdoutDestination is a pipe whose reader can stall.
func StdoutDestination(t *testing.T) *Destination {
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
			box.add(Arrival{e.ID, string(line[:len(line)-1])})
		}
	})
	return &Destination{
		Config: sinks.NewConfig("stdout"), Stdout: w, Arrived: box.arrived, Hang: box.hang,
		End: func() {
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

// What the configuration of a webhook sink holds that must never show.
const (
	WebhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	webhookToken  = "planted-token-in-the-path"
)

// WebhookDestination is an HTTP receiver that verifies signatures, can hang, and can be down.
func WebhookDestination(t *testing.T) *Destination {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(WebhookSecret)
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
		box.add(Arrival{r.Header.Get("webhook-id"), string(body)})
		w.WriteHeader(http.StatusNoContent)
	})
	address := FreeAddress(t)
	server := serve(t, address, handler)
	config, ok := sinks.NewConfig("webhook").(*webhook.Config)
	if !ok {
		t.Fatal("no webhook configuration")
	}
	config.URL = secret.New("http://" + address + "/hooks/" + webhookToken + "?key=planted-key-in-the-query")
	config.Secret = secret.New(WebhookSecret)
	config.Headers = map[string]secret.String{"Authorization": secret.New("Bearer planted-bearer-token")}
	return &Destination{
		Config: config, Arrived: box.arrived, Hang: box.hang,
		Outage: func(t *testing.T) func() {
			t.Helper()
			_ = server.Close()
			return func() { server = serve(t, address, handler) }
		},
		Secrets: []string{webhookToken, "planted-key-in-the-query", "planted-bearer-token", WebhookSecret, WebhookSecret[6:]},
		End: func() {
			box.set(false)
			_ = server.Close()
		},
	}
}
