package sinks_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
)

// A destination is connected to under the rules of deliveries, and is asked for nothing.
func TestReach(t *testing.T) {
	var requests atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	plain := httptest.NewServer(count)
	defer plain.Close()
	ca, cert, key := authority(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	secured := httptest.NewUnstartedServer(count)
	secured.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	secured.StartTLS()
	defer secured.Close()
	port, connections := trap(t)

	host := strings.TrimPrefix(plain.URL, "http://")
	if r, err := hookConfig(t, plain.URL+"/planted-path", nil).Reach(t.Context()); err != nil || r != (sinks.Reached{Host: host, Address: host}) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err := hookConfig(t, secured.URL, func(w *sinks.WebhookConfig) { w.TLSCAFile = ca }).Reach(t.Context())
	if err != nil || r.TLS != "TLS 1.3" || r.Expires.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := hookConfig(t, "https://bot.example/x", func(w *sinks.WebhookConfig) { w.Proxy = secret.New(plain.URL) }).Reach(t.Context()); err != nil || !r.Proxy || r.Host != host {
		t.Errorf("%+v, %v", r, err)
	}
	slack := &sinks.SlackConfig{}
	slack.URL = secret.New(plain.URL + "/services/planted")
	if r, err := slack.Reach(t.Context()); err != nil || r.Host != host {
		t.Errorf("%+v, %v", r, err)
	}
	for want, config := range map[string]*sinks.WebhookConfig{
		"unknown authority": hookConfig(t, secured.URL+"/planted-path", nil),
		"set allow_networks: [127.0.0.1/32]": hookConfig(t, "http://bot.example:"+port+"/planted-path", func(w *sinks.WebhookConfig) {
			sinks.SetResolver(w, names(t, map[string][][]string{"bot.example": {{"127.0.0.1"}}}))
		}),
	} {
		if _, err := config.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if requests.Load() != 0 || connections.Load() != 0 {
		t.Errorf("%d requests, and %d connections where none may be", requests.Load(), connections.Load())
	}
}

// A stream is looked at, and not made.
func TestLookAtStream(t *testing.T) {
	p := newProcess(t, "")
	p.start(t)
	t.Cleanup(p.kill)
	config := natsConfig(t, p.url())
	server, info, err := config.Look(t.Context(), "overlay")
	if err != nil || info != nil || server != "nats://"+p.address {
		t.Errorf("%q, %v, %v", server, info, err)
	}
	nc, err := nats.Connect(p.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("stream %s was made", name)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"other.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Look(t.Context(), "overlay"); err == nil || !strings.Contains(err.Error(), "it does not take treats.>") {
		t.Errorf("a stream of somebody else: %v", err)
	}
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "TREATS", Subjects: []string{"treats.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, info, err := config.Look(t.Context(), "overlay"); err != nil || info == nil {
		t.Errorf("%v, %v", info, err)
	}
}
