package webhook_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

func TestWebhookTakesAttemptsDown(t *testing.T) {
	packed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusTeapot)
		packer := gzip.NewWriter(w)
		_, _ = packer.Write([]byte("short and stout"))
		_ = packer.Close()
	}
	for name, c := range map[string]struct {
		url    string
		status int
		answer string
		err    string
	}{
		"accepted": {sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thank\r\nyou\x00 ") }), 200, "thank you", ""},
		"no word":  {sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), 204, "", ""},
		"refused": {sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no pizza", http.StatusUnprocessableEntity)
		}), 422, "no pizza", "status 422: the receiver says: no pizza"},
		"packed":          {sinktest.Receiver(t, packed), 418, "short and stout", "status 418"},
		"nobody is there": {"http://" + sinktest.FreeAddress(t), 0, "", "connection refused"},
		"packed by a liar": {sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "x")
		}), 200, "", ""},
		"packed otherwise": {sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "x")
		}), 200, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log sinktest.Attempts
			begin := time.Now()
			err := sinktest.DeliverOne(t, sinktest.OpenWebhookIn(t, sinks.Env{Attempt: log.Add}, c.url+"/planted-path", nil))
			got := log.Take()
			if len(got) != 1 {
				t.Fatalf("%d attempts were taken down", len(got))
			}
			a := got[0]
			if a.Status != c.status || a.Answer != c.answer || a.Endpoint != c.url || a.Sink != "" || len(a.Events) != 1 || a.Events[0] != "trt_mystream_0000" {
				t.Errorf("attempt %+v", a)
			}
			if (a.Error == "") != (c.err == "") || !strings.Contains(a.Error, c.err) || (err == nil) != (a.Error == "") {
				t.Errorf("error %q, want %q", a.Error, c.err)
			}
			if a.Time.Before(begin) || a.Latency <= 0 || a.Time.Add(a.Latency).After(time.Now()) {
				t.Errorf("began %v, took %v", a.Time, a.Latency)
			}
		})
	}
}

// An attempt holds nothing that is secret, even if the receiver sends all it got back, and at most a KiB.
func TestWebhookAttemptsHoldNoSecret(t *testing.T) {
	url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		all, _ := httputil.DumpRequest(r, false)
		w.WriteHeader(http.StatusBadGateway)
		for range 1000 {
			_, _ = fmt.Fprintf(w, "é%s %s %s", r.URL, r.Header.Get("Authorization"), all)
		}
	})
	var log sinktest.Attempts
	err := sinktest.DeliverOne(t, sinktest.OpenWebhookIn(t, sinks.Env{Attempt: log.Add}, url+"/api/planted-path?k=planted-query", func(c *webhook.Config) {
		c.Headers = map[string]secret.String{"Authorization": secret.New("Bearer planted-bearer")}
	}))
	if err == nil {
		t.Fatal("accepted")
	}
	a := log.Take()[0]
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "planted") || !strings.Contains(a.Answer, secret.Redacted) {
		t.Errorf("a secret shows in %s", text)
	}
	if n := len(a.Answer); n > 1024 || n < 1020 || strings.ContainsRune(a.Answer, '\ufffd') {
		t.Errorf("the answer is %d bytes: %q", n, a.Answer)
	}
}

// Both requests are taken down when the receiver refuses the first token.
func TestWebhookTakesTheSecondRequestDown(t *testing.T) {
	var log sinktest.Attempts
	i := &issuer{now: 1}
	url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+tokenText(2) {
			http.Error(w, "bad "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	})
	env := sinks.Env{Attempt: log.Add, Bearer: func(string) (webhook.Bearer, error) { return i, nil }}
	if err := sinktest.DeliverOne(t, sinktest.OpenWebhookIn(t, env, url, func(c *webhook.Config) { c.Account = "partner" })); err != nil {
		t.Fatal(err)
	}
	got := log.Take()
	if len(got) != 2 || got[0].Status != 401 || got[0].Error == "" || got[1].Status != 200 || got[1].Error != "" {
		t.Fatalf("attempts %+v", got)
	}
	if strings.Contains(got[0].Answer+got[0].Error, "planted") {
		t.Errorf("a token shows in %+v", got[0])
	}
}

// A caller that leaves says nothing of the receiver, so the error does not either.
func TestWebhookWhoseCallerLeaves(t *testing.T) {
	arrived := make(chan struct{}, 1)
	url := sinktest.Receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then does the server notice that the caller has left.
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("relay stops")
	go func() {
		<-arrived
		cancel(gone)
	}()
	_, err := sinktest.OpenWebhook(t, url, nil).Deliver(ctx, sinktest.Plain("mystream", 1))
	if !errors.Is(err, gone) || sinktest.ErrorClass(err) != "retry" {
		t.Errorf("%s: %v", sinktest.ErrorClass(err), err)
	}
}
