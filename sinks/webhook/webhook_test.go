package webhook_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

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
			url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
			})
			err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, url, nil))
			if got := sinktest.ErrorClass(err); got != c.want {
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
	there := sinktest.Receiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, there+"/planted-elsewhere", status) })
		err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, url, nil))
		if sinktest.ErrorClass(err) != "denied" || strings.Contains(err.Error(), "planted") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// TestWebhookEndsOnTime uses receivers that never complete a response.
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
	header := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
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
		"drips 200":       {sinktest.Receiver(t, drip(200)), "accepted", ""},
		"drips 500":       {sinktest.Receiver(t, drip(500)), "retry", "status 500"},
		"drips 404":       {sinktest.Receiver(t, drip(404)), "denied", "status 404"},
		"drips a header":  {header, "accepted", ""},
		"says nothing":    {sinktest.Receiver(t, silent), "unavailable", "no complete answer within 300ms"},
		"accepts nothing": {"http://" + deaf.Addr().String(), "unavailable", "no complete answer within 300ms"},
		"no TLS":          {"https://" + deaf.Addr().String(), "unavailable", "no complete answer within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, c.url, func(w *webhook.Config) { w.Timeout = 300 * time.Millisecond }))
			if got := sinktest.ErrorClass(err); got != c.want || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %s", got, err, c.want)
			}
		})
	}
}

// TestWebhookReadsLittle uses receivers with endless responses, plain and highly compressed.
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
			url := sinktest.Receiver(t, func(w http.ResponseWriter, r *http.Request) {
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
			err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, url, nil))
			if got := sinktest.ErrorClass(err); (got == "accepted") != (status == 200) || strings.ContainsRune(fmt.Sprint(err), 0) {
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
	url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, "{\"error\":\r\n \"no \x1b[31mpizza\x00\"} "+strings.Repeat("é", 300))
	})
	err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, url, nil))
	if !strings.HasSuffix(err.Error(), "...") || !strings.Contains(err.Error(), `{"error": "no [31mpizza "} éé`) ||
		strings.ContainsAny(err.Error(), "\r\n\x00\x1b") || strings.Count(err.Error(), "é") > 200 {
		t.Errorf("refusal: %q", err)
	}
}

func TestWebhookNameLookup(t *testing.T) {
	err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, "https://nowhere.example/x", func(c *webhook.Config) { webhook.SetResolver(c, names(t, nil)) }))
	if sinktest.ErrorClass(err) != "unavailable" || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("%v", err)
	}
}

// TestWebhookKeptConnection uses a receiver that closes an idle connection just before the next event.
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
	sink := sinktest.OpenWebhook(t, "http://"+listener.Addr().String(), nil)
	for range 4 {
		if err := sinktest.DeliverOne(t, sink); err != nil {
			t.Error(err)
		}
	}
	_ = sink.Close()
	_ = listener.Close()
	<-done
}
