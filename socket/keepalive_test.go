package socket

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/rs/zerolog"
)

// TestKeepalive counts what the client sends within a minute to a server that pings every minute and is mute otherwise.
func TestKeepalive(t *testing.T) {
	const slow = `0{"sid":"s1","upgrades":[],"pingInterval":60000,"pingTimeout":60000}`
	for name, test := range map[string]struct {
		protocol  Protocol
		keepalive time.Duration
		pings     int // within 61 s
	}{
		"3":        {EIO3, 0, 4}, // at 0, 20, 40 and 60 s
		"3, 5 s":   {EIO3, 5 * time.Second, 13},
		"3, 2 min": {EIO3, 2 * time.Minute, 2}, // the protocol wants one a minute
		"3, off":   {EIO3, -1, 2},
		"4":        {EIO4, 0, 3}, // at 20, 40 and 60 s
		"4, 5 s":   {EIO4, 5 * time.Second, 12},
		"4, 2 min": {EIO4, 2 * time.Minute, 0},
		"4, off":   {EIO4, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var pings []time.Duration
				begun := time.Now()
				count := func() {
					mu.Lock()
					defer mu.Unlock()
					pings = append(pings, time.Since(begun))
				}
				accept := &websocket.AcceptOptions{OnPingReceived: func(context.Context, []byte) bool { count(); return true }}
				network := newPipes()
				var serving sync.WaitGroup
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					serving.Add(1)
					defer serving.Done()
					ws, err := websocket.Accept(w, r, accept)
					if err != nil {
						t.Errorf("accept: %v", err)
						return
					}
					defer ws.CloseNow() //nolint:errcheck // the test is over
					send(r.Context(), ws, slow)
					if test.protocol == EIO4 {
						_, _, _ = ws.Read(r.Context())
						send(r.Context(), ws, `40{"sid":"a"}`)
					} else {
						send(r.Context(), ws, "40")
					}
					for {
						_, data, err := ws.Read(r.Context())
						if err != nil {
							return
						}
						if string(data) == "2" {
							count()
							send(r.Context(), ws, "3")
						}
					}
				})}
				serving.Go(func() { _ = server.Serve(network) })
				client, err := New(Config{URL: "http://server", Protocol: test.protocol, Keepalive: test.keepalive, Log: zerolog.New(t.Output())})
				if err != nil {
					t.Fatal(err)
				}
				client.dialer = network.dial
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = client.Run(ctx, func(context.Context, Event) error { return nil }) })
				time.Sleep(61 * time.Second)
				synctest.Wait()
				mu.Lock()
				if len(pings) != test.pings {
					t.Errorf("pings at %v, want %d of them", pings, test.pings)
				}
				mu.Unlock()
				stop()
				running.Wait()
				_ = server.Close()
				serving.Wait()
			})
		})
	}
}
