package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
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
			c := dialText(t, l.Addr().String(), text)
			if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open for ever")
			}
		})
	}
	t.Run("the answer is not read", func(t *testing.T) {
		t.Parallel()
		c := dialText(t, l.Addr().String(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		eventually(t, func() error { // a write fails once the other end has closed
			if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err == nil {
				return errors.New("the connection is open for ever")
			}
			return nil
		})
	})
}

func dialText(t *testing.T, address, text string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// Who opens connections and leaves them so takes no descriptors from relay, and keeps nobody out.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	port := freePort(t)
	w := newWorld(t, simulatedRealtime)
	config, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.config, fmt.Appendf(config, "http: {listen: \"127.0.0.1:%d\"}\n", port), 0o600); err != nil {
		t.Fatal(err)
	}
	w.login()
	p := w.start("--sink", "console")
	p.err.find(t, "health and metrics are served")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	before := descriptors(t, p)
	for i := range 500 {
		dialText(t, address, []string{"", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"}[i%4])
	}
	c := dialText(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", resp.Status)
	}
	eventually(t, func() error {
		if open := descriptors(t, p) - before; before > 0 && open > 140 {
			return fmt.Errorf("%d descriptors more than before", open)
		}
		return nil
	})
	p.err.find(t, "http.listen has too many connections")
}

// descriptors counts what a process has open, 0 where that is not to be had.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(open)
}
