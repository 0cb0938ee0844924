package socket_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/treatrelay/relay/socket"
)

// tunnels counts where a proxy was asked to go. Wherever that is, it goes to one server.
type tunnels struct {
	server string
	mu     sync.Mutex
	asked  []string
}

func (x *tunnels) list() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.asked)
}

// join copies between a client and the server until either ends.
func (x *tunnels) join(t *testing.T, target string, near io.ReadWriter, accepted string) {
	x.mu.Lock()
	x.asked = append(x.asked, target)
	x.mu.Unlock()
	far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", x.server)
	if err != nil {
		return
	}
	defer far.Close()
	if _, err := io.WriteString(near, accepted); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
}

// connectProxy speaks HTTP CONNECT. (RFC 9110, section 9.3.6.) It wants a user and a password.
func (x *tunnels) connectProxy(t *testing.T) (address string) {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:hush-hush"))
	return listen(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		req, err := http.ReadRequest(in)
		if err != nil || req.Method != http.MethodConnect {
			return
		}
		if req.Header.Get("Proxy-Authorization") != want {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		x.join(t, req.Host, readWriter{in, conn}, "HTTP/1.1 200 Connection established\r\n\r\n")
	})
}

type readWriter struct {
	io.Reader
	io.Writer
}

// socksProxy speaks SOCKS 5. A client that offers a login has to know it. (RFC 1928, RFC 1929.)
func (x *tunnels) socksProxy(t *testing.T) (address string) {
	return listen(t, func(conn net.Conn) {
		read := func(n int) []byte {
			buffer := make([]byte, n)
			_, _ = io.ReadFull(conn, buffer)
			return buffer
		}
		if methods := read(int(read(2)[1])); slices.Contains(methods, 2) {
			_, _ = conn.Write([]byte{5, 2})
			user := string(read(int(read(2)[1])))
			if password := string(read(int(read(1)[0]))); user != "me" || password != "hush-hush" {
				_, _ = conn.Write([]byte{1, 1})
				return
			}
			_, _ = conn.Write([]byte{1, 0})
		} else {
			_, _ = conn.Write([]byte{5, 0})
		}
		if head := read(4); head[3] != 3 {
			t.Errorf("SOCKS: address of type %d, want a name", head[3])
			return
		}
		name := read(int(read(1)[0]))
		port := binary.BigEndian.Uint16(read(2))
		x.join(t, fmt.Sprintf("%s:%d", name, port), conn, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
	})
}

// TestProxies reaches a server that only a proxy can reach, since its name leads nowhere.
func TestProxies(t *testing.T) {
	key, cert, roots := certificate(t)
	p := startPeer(t, "--version", "2", "--tls-key", key, "--tls-cert", cert)
	x := &tunnels{server: strings.TrimPrefix(p.url, "https://")}
	connect, socks := x.connectProxy(t), x.socksProxy(t)
	trust := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	for _, test := range []struct {
		name, variable, proxy string
		noProxy               string
		err                   string // instead of a connection
	}{
		{name: "HTTPS_PROXY", variable: "HTTPS_PROXY", proxy: "http://me:hush-hush@" + connect},
		{name: "ALL_PROXY", variable: "ALL_PROXY", proxy: "http://me:hush-hush@" + connect},
		{name: "SOCKS", variable: "ALL_PROXY", proxy: "socks5://" + socks},
		{name: "SOCKS with names", variable: "https_proxy", proxy: "socks5h://" + socks},
		{name: "SOCKS with a login", variable: "all_proxy", proxy: "socks5://me:hush-hush@" + socks},
		{name: "refused by SOCKS", variable: "all_proxy", proxy: "socks5://me:hush-wrong@" + socks, err: "through the proxy " + socks + ": username/password authentication failed"},
		{name: "NO_PROXY", variable: "ALL_PROXY", proxy: "socks5://" + socks, noProxy: ".invalid", err: "socket.invalid:8443: "},
		{name: "refused by the proxy", variable: "HTTPS_PROXY", proxy: "http://me:hush-wrong@" + connect, err: "through the proxy " + connect + ": the proxy answers HTTP 407 to CONNECT: it wants another user and password"},
		{name: "no proxy there", variable: "HTTPS_PROXY", proxy: "http://me:hush-hush@127.0.0.1:1", err: "through the proxy 127.0.0.1:1: connection refused"},
		{name: "no address", variable: "HTTPS_PROXY", proxy: "ftp://me:hush-hush@x", err: "HTTPS_PROXY is not the address of a proxy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"} {
				t.Setenv(name, "")
				t.Setenv(strings.ToLower(name), "")
			}
			t.Setenv(test.variable, test.proxy)
			t.Setenv("NO_PROXY", test.noProxy)
			before := len(x.list())
			r := start(t, socket.Config{URL: "https://socket.invalid:8443", Dial: socket.Dialing{TLS: trust}}, nil)
			if test.err != "" {
				s := r.phase(socket.Waiting, 1)
				if s.Err == nil || !strings.Contains(s.Err.Error(), test.err) || strings.Contains(s.Err.Error()+r.logged(), "hush") {
					t.Errorf("error %v, want %s", s.Err, test.err)
				}
				return
			}
			r.phase(socket.Connected, 1)
			p.do(command{"cmd": "emit", "event": "hello"})
			r.received(1)
			if got := x.list()[before:]; !slices.Equal(got, []string{"socket.invalid:8443"}) {
				t.Errorf("the proxy was asked for %q", got)
			}
		})
	}
}
