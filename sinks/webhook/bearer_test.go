package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// issuer hands out numbered tokens, as an account does.
type issuer struct {
	mu        sync.Mutex
	now       int64
	refreshes int
	down      error
}

func tokenText(generation int64) string { return fmt.Sprintf("planted-access-token-%d", generation) }

func (i *issuer) Token(context.Context) (secret.String, int64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return secret.New(tokenText(i.now)), i.now, i.down
}

func (i *issuer) Refresh(_ context.Context, generation int64) (secret.String, int64, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if generation == i.now {
		i.now++
		i.refreshes++
	}
	return secret.New(tokenText(i.now)), i.now, i.down
}

// bearerHook is a webhook sink that sends tokens of the issuer to a receiver that takes only those valid says.
func bearerHook(t *testing.T, i *issuer, valid func(token string) bool) (sink pipeline.Sink, seen func() []string) {
	t.Helper()
	var mu sync.Mutex
	var got []string
	url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got = append(got, token)
		if !ok || !valid(token) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, "bad token %s", token) //nolint:errcheck // a test's answer
		}
	})
	config, ok := sinks.NewConfig("webhook").(*webhook.Config)
	if !ok {
		t.Fatal("no webhook configuration")
	}
	config.URL, config.Secret, config.Account = secret.New(url), secret.New(sinktest.WebhookSecret), "partner"
	sink, err := sinks.Open(t.Context(), config, sinks.Env{Name: "bot", Bearer: func(account string) (webhook.Bearer, error) {
		if account != "partner" {
			return nil, fmt.Errorf("asked for account %q", account)
		}
		return i, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestWebhookSendsTheAccountsToken(t *testing.T) {
	i := &issuer{now: 3}
	sink, seen := bearerHook(t, i, func(token string) bool { return token == tokenText(3) })
	if err := sinktest.DeliverOne(t, sink); err != nil {
		t.Fatal(err)
	}
	if got := seen(); len(got) != 1 || got[0] != tokenText(3) {
		t.Errorf("tokens %q", got)
	}
}

// A refused token is renewed once, however many deliveries see it refused, and the request made again.
func TestWebhookRenewsARefusedToken(t *testing.T) {
	i := &issuer{now: 1}
	sink, _ := bearerHook(t, i, func(token string) bool { return token == tokenText(2) })
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			if n, err := sink.Deliver(t.Context(), sinktest.Plain(fmt.Sprint("account", n), 1)); n != 1 || err != nil {
				t.Errorf("accepted %d, %v", n, err)
			}
		})
	}
	all.Wait()
	if i.refreshes != 1 {
		t.Errorf("%d renewals, want 1", i.refreshes)
	}
}

// When a fresh token is refused as well, the event waits, and the account is not asked to renew again and again.
func TestWebhookGivesUpRenewing(t *testing.T) {
	i := &issuer{now: 1}
	var open bool
	sink, seen := bearerHook(t, i, func(token string) bool { return open && token == tokenText(9) })
	for range 5 {
		err := sinktest.DeliverOne(t, sink)
		if !pipeline.IsUnavailable(err) || !strings.Contains(err.Error(), "401") {
			t.Fatalf("error %v, want one to retry that mentions status 401", err)
		}
		if strings.Contains(err.Error(), "planted") {
			t.Errorf("error %v shows a token", err)
		}
	}
	if i.refreshes != 1 || len(seen()) != 6 {
		t.Errorf("%d renewals and %d requests, want 1 and 6", i.refreshes, len(seen()))
	}
	i.mu.Lock()
	i.now, open = 9, true // somebody has logged in
	i.mu.Unlock()
	if err := sinktest.DeliverOne(t, sink); err != nil {
		t.Error(err)
	}
}

func TestWebhookWithoutAToken(t *testing.T) {
	i := &issuer{down: errors.New("login needed: run relay auth login partner")}
	sink, seen := bearerHook(t, i, func(string) bool { return true })
	err := sinktest.DeliverOne(t, sink)
	if !pipeline.IsUnavailable(err) || !strings.Contains(err.Error(), "relay auth login partner") {
		t.Errorf("error %v", err)
	}
	if len(seen()) != 0 {
		t.Error("a request was sent without a token")
	}
}

func TestBearerIsNotSentInTheClear(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://bot.example/x": true, "http://127.0.0.1:1/x": true, "http://localhost/x": true, "http://[::1]/x": true,
		"http://bot.example/x": false, "http://192.168.1.4/x": false, "http://localhost.example/x": false,
	} {
		config, _ := sinks.NewConfig("webhook").(*webhook.Config)
		config.URL, config.Secret, config.Account = secret.New(url), secret.New(sinktest.WebhookSecret), "partner"
		if err := config.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
	}
	config, _ := sinks.NewConfig("webhook").(*webhook.Config)
	config.URL, config.Secret, config.Account = secret.New("http://127.0.0.1:1/x"), secret.New(sinktest.WebhookSecret), "partner"
	config.Proxy = secret.New("http://proxy.example:3128") // whose own machine that is
	if err := config.Validate(); err == nil {
		t.Error("a token goes to a proxy in the clear")
	}
	config, _ = sinks.NewConfig("webhook").(*webhook.Config)
	config.URL, config.Secret, config.Account = secret.New("https://h/"), secret.New(sinktest.WebhookSecret), "partner"
	config.Headers = map[string]secret.String{"authorization": secret.New("Basic x")}
	if err := config.Validate(); err == nil {
		t.Error("Authorization and account together are taken")
	}
}
