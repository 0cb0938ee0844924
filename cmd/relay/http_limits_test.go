package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/treatrelay/relay/internal/dialtest"
)

// Idle connections neither exhaust relay's file descriptors nor lock other clients out.
func TestHTTPConnectionsAreBounded(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.onHTTP()
	w.login()
	p := w.start("--sink", "console")
	p.err.find(t, "health and metrics are served")
	address := w.settings.HTTP.Listen
	before := descriptors(t, p)
	for i := range 2500 {
		dialtest.Send(t, address, []string{"", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"}[i%4])
	}
	c := dialtest.Send(t, address, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", resp.Status)
	}
	eventually(t, func() error {
		if open := descriptors(t, p) - before; before > 0 && open > 2060 {
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
