// Package dialtest opens raw TCP connections to servers under test. Only tests use it.
package dialtest

import (
	"io"
	"net"
	"testing"
)

// Send connects to address, HOST:PORT, and sends text. The connection stays open until the test ends or closes it.
func Send(t *testing.T, address, text string) net.Conn {
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
