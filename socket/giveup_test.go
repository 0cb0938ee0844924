package socket_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/socket"
)

// listen runs a server on the level of TCP, whose every connection is handled by handle until the test ends.
func listen(t *testing.T, handle func(net.Conn)) (address string) {
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
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// TestGivenUp has attempts given up at each of their stages: the server must see the connection end.
func TestGivenUp(t *testing.T) {
	const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	request := func(conn net.Conn) string { // up to its key
		lines := bufio.NewScanner(conn)
		key := ""
		for lines.Scan() && lines.Text() != "" {
			if value, ok := strings.CutPrefix(lines.Text(), "Sec-WebSocket-Key: "); ok {
				key = value
			}
		}
		return key
	}
	for name, test := range map[string]struct {
		scheme string
		handle func(net.Conn)
	}{
		"the TLS handshake is not answered": {"https", func(net.Conn) {}},
		"the upgrade is not answered":       {"http", func(conn net.Conn) { request(conn) }},
		"half an answer":                    {"http", func(conn net.Conn) { request(conn); _, _ = io.WriteString(conn, "HTTP/1.1 101 Sw") }},
		"no handshake after the upgrade": {"http", func(conn net.Conn) {
			_, _ = io.WriteString(conn, upgraded+acceptKey(request(conn))+"\r\n\r\n")
		}},
		"half a handshake": {"http", func(conn net.Conn) {
			_, _ = io.WriteString(conn, upgraded+acceptKey(request(conn))+"\r\n\r\n\x81\x7e\x01\x000{")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left := make(chan struct{}, 16)
			address := listen(t, func(conn net.Conn) {
				test.handle(conn)
				_, _ = io.Copy(io.Discard, conn)
				left <- struct{}{}
			})
			r := start(t, socket.Config{URL: test.scheme + "://" + address, Dial: socket.Dialing{HandshakeTimeout: 300 * time.Millisecond}}, nil)
			if s := r.phase(socket.Waiting, 1); s.Err == nil || !strings.Contains(s.Err.Error(), "300ms") {
				t.Errorf("error %v, want one with the time limit", s.Err)
			}
			select {
			case <-left: // before the client stops
			case <-time.After(patience):
				t.Error("the connection is still open at the server")
			}
		})
	}
}

// acceptKey answers the key of an upgrade. (RFC 6455, section 4.2.2.)
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func TestUserAgent(t *testing.T) {
	seen := make(chan string, 1)
	url := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.UserAgent():
		default:
		}
	})
	start(t, socket.Config{URL: url, Dial: socket.Dialing{UserAgent: "relay/v1.2.3 (+https://relay.example)"}}, nil)
	if got := <-seen; got != "relay/v1.2.3 (+https://relay.example)" {
		t.Errorf("User-Agent %q", got)
	}
}
