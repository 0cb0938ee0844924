package socket

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetryAfterIsHonoured has a server ask to be left alone: neither the client it told, nor one that shares its Holds, may
// come before that is over, nor spend a token. A server elsewhere is not concerned.
func TestRetryAfterIsHonoured(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var mu sync.Mutex
				var dialled, elsewhere, tokens []time.Duration
				note := func(list *[]time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					*list = append(*list, time.Since(begun))
				}
				network := newPipes()
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Host == "elsewhere" {
						note(&elsewhere)
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					note(&dialled)
					w.Header().Set("Retry-After", "600")
					w.WriteHeader(status)
				})}
				var serving sync.WaitGroup
				serving.Go(func() { _ = server.Serve(network) })

				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				holds := new(Holds)
				var errs []string
				for i, at := range []string{"http://server", "http://server", "http://elsewhere"} {
					client, err := New(Config{
						URL: at, Dial: Dialing{Holds: holds},
						Query: func(context.Context) (url.Values, error) {
							if i < 2 {
								note(&tokens)
							}
							return nil, nil
						},
						OnState: func(s State) {
							if s.Phase == Waiting && i < 2 {
								mu.Lock()
								defer mu.Unlock()
								errs = append(errs, s.Err.Error())
							}
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					client.dialer = func(ctx context.Context, network_, addr string) (net.Conn, error) {
						return network.dial(ctx, network_, addr)
					}
					running.Go(func() {
						time.Sleep(time.Duration(i) * time.Second) // the second when the first has been told
						_ = client.Run(ctx, nil)
					})
				}
				time.Sleep(20 * time.Minute)
				stop()
				running.Wait()
				_ = server.Close()
				serving.Wait()

				if len(dialled) != 2 && len(dialled) != 3 || dialled[0] > time.Second || dialled[1] < 600*time.Second {
					t.Errorf("the server was dialled at %v, want at once and not before 600 s", dialled)
				}
				if len(tokens) != len(dialled) {
					t.Errorf("tokens were asked for at %v, for dials at %v", tokens, dialled)
				}
				if len(elsewhere) < 10 {
					t.Errorf("another server was dialled at %v", elsewhere)
				}
				for _, text := range errs {
					if !strings.Contains(text, fmt.Sprintf("HTTP %d", status)) || !strings.Contains(text, "left alone until 2000-01-01T00:") {
						t.Errorf("error %q", text)
					}
				}
				if len(errs) < 2 {
					t.Errorf("errors %q", errs)
				}
			})
		})
	}
}
