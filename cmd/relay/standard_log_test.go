package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// chatter answers each request, and then sends unsolicited responses.
func chatter(t *testing.T) (url string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				for range 20 { // the client takes the first that comes when it has read the answer
					time.Sleep(50 * time.Millisecond)
					if _, err := io.WriteString(conn, "HTTP/1.1 200 hush-hush\r\n\r\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// A receiver sends a response on an idle connection, which net/http reports with the standard logger: relay logs it without the content.
func TestStandardLogger(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.configure(func(s *settings) { s.Sinks["bot"].URL = chatter(t) })
	w.login()
	p := w.start("--log-format", "json", "--sink", "bot")
	w.connected()
	w.live.emit(0, 1)
	line := p.err.find(t, "Unsolicited response received on idle HTTP channel")
	if !strings.Contains(line, `"level":"debug"`) || !strings.Contains(line, `"by":"standard logger"`) || strings.Contains(line, "hush") {
		t.Errorf("line %s", line)
	}
	p.stop()
	for _, line := range p.err.get() {
		if !json.Valid([]byte(line)) {
			t.Errorf("not a line of relay's log: %q", line)
		}
	}
}
