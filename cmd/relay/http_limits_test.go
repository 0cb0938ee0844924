package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
)

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

// Idle connections neither exhaust relay's file descriptors nor lock other clients out.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.onHTTP()
	w.login()
	p := w.start("--sink", "console")
	p.err.find(t, "health and metrics are served")
	address := w.settings.HTTP.Listen
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

// descriptors counts the open files of a process; 0 if the system does not tell.
func descriptors(t *testing.T, p *process) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(open)
}
