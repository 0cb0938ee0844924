package webhook_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/slack"
	"github.com/treatrelay/relay/sinks/webhook"
)

// A destination is connected to under the rules of deliveries, and is asked for nothing.
func TestReach(t *testing.T) {
	var requests atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	plain := httptest.NewServer(count)
	defer plain.Close()
	ca, cert, key := sinktest.Authority(t)
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
	if r, err := sinktest.WebhookConfig(t, plain.URL+"/planted-path", nil).Reach(t.Context()); err != nil || r != (outbound.Reached{Host: host, Address: host}) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err := sinktest.WebhookConfig(t, secured.URL, func(w *webhook.Config) { w.TLSCAFile = ca }).Reach(t.Context())
	if err != nil || r.TLS != "TLS 1.3" || r.Expires.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := sinktest.WebhookConfig(t, "https://bot.example/x", func(w *webhook.Config) { w.Proxy = secret.New(plain.URL) }).Reach(t.Context()); err != nil || !r.Proxy || r.Host != host {
		t.Errorf("%+v, %v", r, err)
	}
	slack := &slack.Config{}
	slack.URL = secret.New(plain.URL + "/services/planted")
	if r, err := slack.Reach(t.Context()); err != nil || r.Host != host {
		t.Errorf("%+v, %v", r, err)
	}
	for want, config := range map[string]*webhook.Config{
		"unknown authority": sinktest.WebhookConfig(t, secured.URL+"/planted-path", nil),
		"set allow_networks: [127.0.0.1/32]": sinktest.WebhookConfig(t, "http://bot.example:"+port+"/planted-path", func(w *webhook.Config) {
			webhook.SetResolver(w, names(t, map[string][][]string{"bot.example": {{"127.0.0.1"}}}))
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
