package daemon

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/dialtest"
)

// Connections that are left open half are closed, whatever their clients do not do.
func TestHTTPTimeouts(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 8<<20)
	server := httpLimits{header: time.Second, read: time.Second, write: time.Second, idle: time.Second, conns: 64}.server(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write(big)
		}), zerolog.Nop())
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	for name, text := range map[string]string{
		"nothing is sent": "", "one byte": "G", "half a header": "GET / HTTP/1.1\r\nHost: x\r\n",
		"half a body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", "kept alive": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dialtest.Send(t, l.Addr().String(), text)
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open for ever")
			}
		})
	}
	t.Run("the answer is not read", func(t *testing.T) {
		t.Parallel()
		c := dialtest.Send(t, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // a write fails once the other end has closed
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the connection is open for ever")
			}
		}
	})
}
