package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/internal/secret"
)

// everyCall is a call in each style, with a secret wherever one goes.
func everyCall(endpoint string) map[provider.BodyStyle]Call {
	calls := map[provider.BodyStyle]Call{}
	for _, style := range []provider.BodyStyle{provider.Form, provider.JSON, provider.Query} {
		calls[style] = Call{
			Endpoint: endpoint, Field: "token", Bearer: secret.New("canary-bearer"),
			Secrets: map[string]secret.String{"client_secret": secret.New("canary-secret"), "refresh_token": secret.New("canary-refresh")},
		}
	}
	return calls
}

func TestTLSVersion(t *testing.T) {
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		w := New(nil, "relay/test")
		own, ok := w.client.Transport.(*Transport)
		if !ok {
			t.Fatal("the transport is another")
		}
		own.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		_, err := w.Send(t.Context(), provider.Form, Call{Endpoint: server.URL, Field: "token"})
		if f := AsFailure(err); (f == nil) != want {
			t.Errorf("TLS %x: %v, want it to work: %v", version, err, want)
		} else if f != nil && f.Kind == Refused {
			t.Errorf("TLS %x is taken for the provider's word", version)
		}
		server.Close()
	}
}

// No redirect is followed, and nobody else sees a secret.
func TestNoRedirect(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{thief.URL, "%zz://canary-place"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", location+"?"+r.URL.RawQuery)
				w.WriteHeader(status)
			}))
			for style, c := range everyCall(server.URL) {
				w := New(nil, "relay/test")
				ans, err := w.Send(t.Context(), style, c)
				if err == nil {
					err = ans.Judge(provider.Provider{})
				}
				f := AsFailure(err)
				if f == nil || f.Kind == Refused || strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary-secret") {
					t.Errorf("%d to %s by %s: %v", status, location, style, err)
				}
			}
			server.Close()
		}
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("%d requests were sent on", n)
	}
}

// One request, whatever the answer: no second style is tried, and nothing is sent again.
func TestOneRequest(t *testing.T) {
	for _, status := range []int{200, 400, 401, 403, 404, 405, 415, 500, 503} {
		var asked atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			if _, _, basic := r.BasicAuth(); basic {
				t.Error("the secret is in the header as well")
			}
			w.WriteHeader(status)
		}))
		for style, c := range everyCall(server.URL) {
			asked.Store(0)
			_, _ = New(nil, "relay/test").Send(t.Context(), style, c)
			if n := asked.Load(); n != 1 {
				t.Errorf("%d by %s: %d requests", status, style, n)
			}
		}
		server.Close()
	}
}

func TestLimits(t *testing.T) {
	for size, want := range map[int]bool{answerLimit: true, answerLimit + 1: false, 10 << 20: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }))
		for style, c := range everyCall(server.URL) {
			ans, err := New(nil, "relay/test").Send(t.Context(), style, c)
			if f := AsFailure(err); want != (f == nil && len(ans.Body) == size) || f != nil && f.Kind != LostReply {
				t.Errorf("%d bytes by %s: %v", size, style, err)
			}
		}
		server.Close()
	}

	// A server that never answers, and one that drips, both for thirty seconds.
	for name, serve := range map[string]func(net.Conn){
		"mute": func(net.Conn) {},
		"drips": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				var serving sync.WaitGroup
				serving.Go(func() {
					// Not before the Request: an answer that nobody asked for ends the connection.
					_, _ = io.ReadFull(there, make([]byte, 1))
					serving.Go(func() { _, _ = io.Copy(io.Discard, there) })
					serve(there)
				})
				w := New(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}, "relay/test")
				began := time.Now()
				_, err := w.Send(t.Context(), provider.Query, everyCall("http://provider.example/token")[provider.Query])
				if f := AsFailure(err); f == nil || f.Kind != LostReply || !strings.Contains(f.Why, "no whole answer within 30s") {
					t.Errorf("%v", err)
				}
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("after %s", took)
				}
				_ = there.Close()
				serving.Wait()
			})
		})
	}
}

// DNS and TLS trouble is before the Request: it certainly did not arrive.
func TestBeforeTheRequest(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	noName := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "provider.example", IsNotFound: true}
	}}
	for name, c := range map[string]struct {
		transport http.RoundTripper
		endpoint  string
		why       string
	}{
		"DNS": {noName, "https://provider.example", "no such host"},
		"TLS": {nil, untrusted.URL, "certificate"},
	} {
		for style, call := range everyCall(c.endpoint) {
			_, err := New(c.transport, "relay/test").Send(t.Context(), style, call)
			f, _ := errors.AsType[*Failure](err)
			if f == nil || f.Kind != NotSent || !strings.Contains(f.Why, c.why) || strings.Contains(f.Why, "canary") {
				t.Errorf("%s by %s: %v", name, style, err)
			}
		}
	}
}

func TestServerTime(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for name, tt := range map[string]struct {
		date string
		want time.Time
	}{
		"the same":         {now.UTC().Format(http.TimeFormat), now},
		"hours ahead":      {now.Add(3 * time.Hour).UTC().Format(http.TimeFormat), now.Add(3 * time.Hour)},
		"hours behind":     {now.Add(-3 * time.Hour).UTC().Format(http.TimeFormat), now.Add(-3 * time.Hour)},
		"a week behind":    {now.Add(-7 * 24 * time.Hour).UTC().Format(http.TimeFormat), now.Add(-7 * 24 * time.Hour)},
		"a week ahead":     {now.Add(7 * 24 * time.Hour).UTC().Format(http.TimeFormat), now},
		"1970":             {"Thu, 01 Jan 1970 00:00:00 GMT", now},
		"in an old form":   {now.UTC().Format(time.RFC850), now},
		"not a date":       {"soon", now},
		"no date":          {"", now},
		"another language": {"Mo, 29 Nov 2026 07:00:00 GMT", now},
	} {
		if at, _ := ServerTime(http.Header{"Date": {tt.date}}, now); !at.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, at, tt.want)
		}
	}
}
