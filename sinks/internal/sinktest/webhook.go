package sinktest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/webhook"
)

// OpenWebhook makes a configuration for url, changed by change, and opens it.
func OpenWebhook(t *testing.T, url string, change func(*webhook.Config)) pipeline.Sink {
	t.Helper()
	return OpenWebhookIn(t, sinks.Env{Name: "bot", UserAgent: "relay/test"}, url, change)
}

// OpenWebhookIn is [OpenWebhook] in an environment.
func OpenWebhookIn(t *testing.T, env sinks.Env, url string, change func(*webhook.Config)) pipeline.Sink {
	t.Helper()
	sink, err := sinks.Open(t.Context(), WebhookConfig(t, url, change), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// WebhookConfig makes a configuration for url, changed by change.
func WebhookConfig(t *testing.T, url string, change func(*webhook.Config)) *webhook.Config {
	t.Helper()
	config, ok := sinks.NewConfig("webhook").(*webhook.Config)
	if !ok {
		t.Fatal("no webhook configuration")
	}
	config.URL, config.Secret = secret.New(url), secret.New(WebhookSecret)
	if change != nil {
		change(config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	return config
}

// Receiver serves handler until the test ends, and returns its URL.
func Receiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// DeliverOne delivers within a time no test should need.
func DeliverOne(t *testing.T, sink pipeline.Sink) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		n, err := sink.Deliver(t.Context(), Plain("mystream", 3))
		if (n == 1) != (err == nil) || n > 1 {
			err = errors.Join(err, fmt.Errorf("accepted %d", n))
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Deliver does not return")
		return nil
	}
}

// ErrorClass names what an error asks of the lane.
func ErrorClass(err error) string {
	after, wait := pipeline.RetryDelay(err)
	switch {
	case err == nil:
		return "accepted"
	case pipeline.IsPermanent(err):
		return "permanent"
	case pipeline.IsDenied(err):
		return "denied"
	case pipeline.IsGone(err):
		return "gone"
	}
	what := "retry"
	if pipeline.IsUnavailable(err) {
		what = "unavailable"
	}
	if wait {
		what += " after " + after.String()
	}
	return what
}
