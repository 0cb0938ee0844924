package sinks_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks"
)

// hook makes a configuration for url, changed by change, and opens it.
func hook(t *testing.T, url string, change func(*sinks.WebhookConfig)) pipeline.Sink {
	t.Helper()
	return hookIn(t, sinks.Env{Name: "bot", UserAgent: "relay/test"}, url, change)
}

func hookIn(t *testing.T, env sinks.Env, url string, change func(*sinks.WebhookConfig)) pipeline.Sink {
	t.Helper()
	sink, err := sinks.Open(t.Context(), hookConfig(t, url, change), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// hookConfig makes a configuration for url, changed by change.
func hookConfig(t *testing.T, url string, change func(*sinks.WebhookConfig)) *sinks.WebhookConfig {
	t.Helper()
	config, ok := sinks.NewConfig("webhook").(*sinks.WebhookConfig)
	if !ok {
		t.Fatal("no webhook configuration")
	}
	config.URL, config.Secret = secret.New(url), secret.New(webhookSecret)
	if change != nil {
		change(config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	return config
}

func receiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// deliverOne delivers within a time no test should need.
func deliverOne(t *testing.T, sink pipeline.Sink) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		n, err := sink.Deliver(t.Context(), plain("mystream", 3))
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

// steer names what an error asks of the lane.
func steer(err error) string {
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

func TestWebhookStatus(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		want       string
	}{
		{200, "", "accepted"},
		{201, "", "accepted"},
		{202, "60", "accepted"},
		{204, "", "accepted"},
		{299, "", "accepted"},
		{300, "", "denied"},
		{301, "", "denied"},
		{302, "", "denied"},
		{304, "", "denied"},
		{307, "", "denied"},
		{308, "", "denied"},
		{400, "", "permanent"},
		{401, "", "denied"},
		{403, "", "denied"},
		{404, "5", "denied"},
		{405, "", "denied"},
		{408, "", "retry"},
		{409, "", "permanent"},
		{410, "", "gone"},
		{407, "", "unavailable"},
		{415, "", "denied"},
		{421, "", "denied"},
		{423, "", "denied"},
		{413, "", "permanent"},
		{422, "", "permanent"},
		{425, "", "retry"},
		{429, "", "unavailable"},
		{429, "120", "unavailable after 2m0s"},
		{429, "0", "unavailable"},
		{429, "-5", "unavailable"},
		{429, "soon", "unavailable"},
		{429, "1.5", "unavailable after 2s"},
		{429, " 7 ", "unavailable after 7s"},
		{429, "86401", "unavailable after 24h0m0s"},
		{429, "99999999999999999999999", "unavailable after 24h0m0s"},
		{429, "Wed, 21 Oct 2015 07:28:00 GMT", "unavailable"},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", "unavailable after 24h0m0s"},
		{429, "Friday, 31-Dec-99 23:59:59 GMT", "unavailable"},
		{408, "3", "retry after 3s"},
		{500, "", "retry"},
		{500, "9", "retry after 9s"},
		{501, "", "retry"},
		{502, "", "retry"},
		{503, "", "unavailable"},
		{503, "120", "unavailable after 2m0s"},
		{504, "", "retry"},
		{599, "", "retry"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.retryAfter), func(t *testing.T) {
			url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
			})
			err := deliverOne(t, hook(t, url, nil))
			if got := steer(err); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
			if err != nil && !strings.Contains(err.Error(), fmt.Sprint(c.status)) {
				t.Errorf("the status is missing in %q", err)
			}
		})
	}
}

func TestWebhookFollowsNoRedirect(t *testing.T) {
	var hits atomic.Int32
	there := receiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := receiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, there+"/planted-elsewhere", status) })
		err := deliverOne(t, hook(t, url, nil))
		if steer(err) != "denied" || strings.Contains(err.Error(), "planted") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestWebhookEndsOnTime faces receivers that never finish.
func TestWebhookEndsOnTime(t *testing.T) {
	drip := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	deaf, err := net.Listen("tcp", "127.0.0.1:0") // The kernel accepts; nobody answers.
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	header := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Drip: ")
		for err == nil {
			_, err = io.WriteString(c, "x")
			time.Sleep(10 * time.Millisecond)
		}
	})
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for name, c := range map[string]struct{ url, want, text string }{
		"drips 200":       {receiver(t, drip(200)), "accepted", ""},
		"drips 500":       {receiver(t, drip(500)), "retry", "status 500"},
		"drips 404":       {receiver(t, drip(404)), "denied", "status 404"},
		"drips a header":  {header, "accepted", ""},
		"says nothing":    {receiver(t, silent), "unavailable", "no complete answer within 300ms"},
		"accepts nothing": {"http://" + deaf.Addr().String(), "unavailable", "no complete answer within 300ms"},
		"no TLS":          {"https://" + deaf.Addr().String(), "unavailable", "no complete answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			err := deliverOne(t, hook(t, c.url, func(w *sinks.WebhookConfig) { w.Timeout = 300 * time.Millisecond }))
			if got := steer(err); got != c.want || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestWebhookReadsLittle has receivers answer without end, in the clear and packed a thousandfold.
func TestWebhookReadsLittle(t *testing.T) {
	zeros := make([]byte, 1<<20)
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	_, _ = packer.Write(zeros)
	_ = packer.Close()
	for _, status := range []int{200, 400} {
		for _, encoding := range []string{"", "gzip"} {
			var accepted string
			stopped := make(chan struct{})
			url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(stopped)
				accepted = r.Header.Get("Accept-Encoding")
				chunk := zeros
				if encoding != "" {
					w.Header().Set("Content-Encoding", encoding)
					chunk = packed.Bytes()
				}
				w.WriteHeader(status)
				for {
					if _, err := w.Write(chunk); err != nil {
						return
					}
				}
			})
			err := deliverOne(t, hook(t, url, nil))
			if got := steer(err); (got == "accepted") != (status == 200) || strings.ContainsRune(fmt.Sprint(err), 0) {
				t.Errorf("status %d: %s: %v", status, got, err)
			}
			select {
			case <-stopped:
			case <-time.After(20 * time.Second):
				t.Fatal("the answer is read for ever")
			}
			if accepted != "" {
				t.Errorf("Accept-Encoding is %q, want none", accepted)
			}
		}
	}
}

func TestWebhookShowsARefusal(t *testing.T) {
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, "{\"error\":\r\n \"no \x1b[31mpizza\x00\"} "+strings.Repeat("é", 300))
	})
	err := deliverOne(t, hook(t, url, nil))
	if !strings.HasSuffix(err.Error(), "...") || !strings.Contains(err.Error(), `{"error": "no [31mpizza "} éé`) ||
		strings.ContainsAny(err.Error(), "\r\n\x00\x1b") || strings.Count(err.Error(), "é") > 200 {
		t.Errorf("refusal: %q", err)
	}
}

func TestWebhookNameLookup(t *testing.T) {
	err := deliverOne(t, hook(t, "https://nowhere.example/x", func(c *sinks.WebhookConfig) { sinks.SetResolver(c, names(t, nil)) }))
	if steer(err) != "unavailable" || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("%v", err)
	}
}

// TestWebhookKeptConnection has a receiver that closes a kept connection just when the next event comes.
func TestWebhookKeptConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 64<<10)
			if _, err := c.Read(buffer); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				_, _ = c.Read(buffer) // The second request gets no answer.
			}
			_ = c.Close()
		}
	}()
	sink := hook(t, "http://"+listener.Addr().String(), nil)
	for range 4 {
		if err := deliverOne(t, sink); err != nil {
			t.Error(err)
		}
	}
	_ = sink.Close()
	_ = listener.Close()
	<-done
}
