package socket_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// served is the server's side of one connection, driven by a script.
type served struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // it is the context of the test, and this is the test's own thread
	ws  *websocket.Conn
	req *http.Request
}

// serve runs a server whose every connection follows the script, and returns its URL.
func serve(t *testing.T, script func(*served)) string {
	t.Helper()
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { accept(t, w, r, script) })
}

func serveHTTP(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return server.URL
}

func accept(t *testing.T, w http.ResponseWriter, r *http.Request, script func(*served)) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		t.Errorf("accept: %v", err)
		return
	}
	defer func() { _ = ws.CloseNow() }()
	script(&served{t: t, ctx: r.Context(), ws: ws, req: r})
}

const opening = `0{"sid":"s1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`

// eio3 is the script of a server of version 1 or 2: it opens and joins, then goes on with then.
func eio3(then func(*served)) func(*served) {
	return func(s *served) {
		s.send(opening, "40")
		then(s)
	}
}

// eio4 is the script of a server of version 3 or later.
func eio4(then func(*served)) func(*served) {
	return func(s *served) {
		s.send(opening)
		if got := s.read(); !strings.HasPrefix(got, "40") {
			s.t.Errorf("the client began with %q, want a connect", got)
		}
		s.send(`40{"sid":"s2"}`)
		then(s)
	}
}

// send writes frames of text. That the client has gone is not an error: the test sees what it did.
func (s *served) send(frames ...string) {
	for _, frame := range frames {
		if s.ws.Write(s.ctx, websocket.MessageText, []byte(frame)) != nil {
			return
		}
	}
}

func (s *served) bytes(frames ...string) {
	for _, frame := range frames {
		if s.ws.Write(s.ctx, websocket.MessageBinary, []byte(frame)) != nil {
			return
		}
	}
}

// read returns the next frame, or the empty string at the end.
func (s *served) read() string {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	_, data, err := s.ws.Read(ctx)
	if err != nil {
		return ""
	}
	return string(data)
}

// idle answers pings until the client goes.
func (s *served) idle() {
	for {
		switch s.read() {
		case "":
			return
		case "2":
			s.send("3")
		}
	}
}

// mute says nothing until the client goes.
func (s *served) mute() {
	for s.read() != "" {
		time.Sleep(time.Millisecond)
	}
}
