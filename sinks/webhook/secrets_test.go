package webhook_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

func TestWebhookSignsWithEverySecret(t *testing.T) {
	secrets := []string{sinktest.WebhookSecret, "whsec_enp6enp6enp6enp6enp6enp6enp6enp6enp6eno="}
	var requests []*http.Request
	var bodies [][]byte
	url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests, bodies = append(requests, r), append(bodies, body)
		if len(requests) == 1 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte(strings.Join(secrets, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*webhook.Config){
		"list": func(c *webhook.Config) {
			c.Secret = secret.String{}
			c.Secrets = []secret.String{secret.New(secrets[0]), secret.New(secrets[1])}
			c.Headers = map[string]secret.String{"X-Team": secret.New("pizza")}
		},
		"file": func(c *webhook.Config) {
			c.Secret = secret.String{}
			c.SecretFile = file
			c.Headers = map[string]secret.String{"X-Team": secret.New("pizza")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			requests, bodies = nil, nil
			sink := sinktest.OpenWebhook(t, url, change)
			if got := sinktest.ErrorClass(sinktest.DeliverOne(t, sink)); got != "retry" {
				t.Fatal(got)
			}
			if got := sinktest.ErrorClass(sinktest.DeliverOne(t, sink)); got != "accepted" {
				t.Fatal(got)
			}
			for i, r := range requests {
				signatures := strings.Split(r.Header.Get("webhook-signature"), " ")
				if len(signatures) != len(secrets) {
					t.Fatalf("signatures: %q", signatures)
				}
				for k, s := range secrets {
					verifier, err := standardwebhooks.NewWebhook(s)
					if err != nil {
						t.Fatal(err)
					}
					one := r.Header.Clone()
					one.Set("webhook-signature", signatures[k])
					if err := verifier.Verify(bodies[i], one); err != nil {
						t.Errorf("signature %d: %v", k, err)
					}
				}
				if r.Method != http.MethodPost || r.Header.Get("User-Agent") != "relay/test" || r.Header.Get("X-Team") != "pizza" ||
					r.ContentLength != int64(len(bodies[i])) || r.Header["Idempotency-Key"] != nil {
					t.Errorf("request: %s %v", r.Method, r.Header)
				}
			}
			if a, b := requests[0].Header.Get("webhook-id"), requests[1].Header.Get("webhook-id"); a != b || a == "" {
				t.Errorf("webhook-id changed from %s to %s", a, b)
			}
		})
	}
}

// TestWebhookReadsItsSecretsAgain rotates a secret while the sink runs.
func TestWebhookReadsItsSecretsAgain(t *testing.T) {
	var signatures atomic.Int32
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		signatures.Store(int32(len(strings.Fields(r.Header.Get("webhook-signature")))))
	})
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(secrets ...secret.String) {
		var text strings.Builder
		for _, s := range secrets {
			text.WriteString(s.Reveal() + "\n")
		}
		if err := os.WriteFile(file+".new", []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	first, second := webhook.NewSigningSecret(), webhook.NewSigningSecret()
	write(first)
	sink := sinktest.OpenWebhook(t, url, func(c *webhook.Config) { c.Secret, c.SecretFile = secret.String{}, file })
	if err := sinktest.DeliverOne(t, sink); err != nil || signatures.Load() != 1 {
		t.Fatalf("%d signatures: %v", signatures.Load(), err)
	}
	write(second, first)
	for deadline := time.Now().Add(20 * time.Second); signatures.Load() != 2; time.Sleep(20 * time.Millisecond) {
		if err := sinktest.DeliverOne(t, sink); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the new secret is not used")
		}
	}
}

// TestWebhookHidesSecrets uses a receiver that sends back everything it received.
func TestWebhookHidesSecrets(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			all, _ := httputil.DumpRequest(r, false)
			w.WriteHeader(status)
			parts := strings.Split(r.URL.Path, "/")
			_, _ = fmt.Fprintf(w, "%s %s %s %s", parts[len(parts)-1], r.URL.Query().Get("k"), r.Header.Get("Authorization"), all)
		}
	}
	planted := []string{"planted-path", "planted query", "planted+query", "planted-bearer", sinktest.WebhookSecret[6:]}
	change := func(c *webhook.Config) {
		c.Timeout = time.Second
		webhook.SetResolver(c, names(t, nil))
		c.Headers = map[string]secret.String{"Authorization": secret.New("Bearer planted-bearer")}
	}
	nowhere := "http://nowhere.example"
	for _, base := range []string{
		sinktest.Receiver(t, echo(400)), sinktest.Receiver(t, echo(503)), nowhere, "https" + sinktest.Receiver(t, echo(200))[4:],
		"http://" + sinktest.FreeAddress(t), // last: a receiver might get the address
	} {
		err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, base+"/api/planted-path?k=planted+query", change))
		if err == nil {
			t.Errorf("%s: accepted", base)
			continue
		}
		for _, s := range planted {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%q shows in %q", s, err)
			}
		}
		if !strings.Contains(err.Error(), base) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error does not name %s on one line: %q", base, err)
		}
	}
}

func TestWebhookTLS(t *testing.T) {
	var version atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		version.Store(int32(r.ProtoMajor))
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // It would report the refused handshake.
	server.StartTLS()
	defer server.Close()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, server.URL, func(c *webhook.Config) { c.TLSCAFile = path })); err != nil {
		t.Error(err)
	}
	if version.Load() != 2 {
		t.Errorf("HTTP/%d was spoken, want 2", version.Load())
	}
	err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, server.URL, nil))
	if sinktest.ErrorClass(err) != "unavailable" || !strings.Contains(err.Error(), "tls_ca_file") {
		t.Errorf("with an unknown CA: %v", err)
	}
}
