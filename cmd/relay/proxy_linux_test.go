package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/exit"
)

// hostOnlyOfProxy does not resolve: only the proxy reaches it.
const hostOnlyOfProxy = "provider.invalid"

// serveTLS puts TLS in front of an HTTP server, and returns its address and the file with its certificate.
func serveTLS(t *testing.T, target *url.URL) (address, certFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay test"}, DNSNames: []string{hostOnlyOfProxy},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	front.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	return front.Listener.Addr().String(), certFile
}

// connectProxy is a CONNECT proxy that connects to one server, whatever host the client requests.
type connectProxy struct {
	address string
	mu      sync.Mutex
	asked   []string
}

func newConnectProxy(t *testing.T, server string) *connectProxy {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	x := &connectProxy{address: l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go x.handle(conn, server)
		}
	}()
	return x
}

func (c *connectProxy) handle(conn net.Conn, server string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	c.mu.Lock()
	c.asked = append(c.asked, req.Host)
	c.mu.Unlock()
	far, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer far.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(far, in)
		_ = far.Close()
	}()
	_, _ = io.Copy(conn, far)
}

// Relay reaches its provider and the realtime server through the proxy of the environment, and its webhook directly.
func TestProxyFromEnvironment(t *testing.T) {
	w := newWorld(t, simulatedRealtime)
	w.login()
	at, err := url.Parse(w.sim.Endpoints().Token)
	if err != nil {
		t.Fatal(err)
	}
	address, certFile := serveTLS(t, &url.URL{Scheme: "http", Host: at.Host})
	x := newConnectProxy(t, address)
	w.configure(func(s *settings) {
		e := &s.account().Endpoints
		for _, endpoint := range []*string{&e.Authorize, &e.Token, &e.Refresh, &e.SocketToken, &e.History, &e.Socket} {
			*endpoint = replaceOnce(t, *endpoint, "http://"+at.Host, "https://"+hostOnlyOfProxy)
		}
	})
	run := func(proxy string, args ...string) *process {
		env := append(w.env(), "SSL_CERT_FILE="+certFile, "HTTPS_PROXY="+proxy, "ALL_PROXY=", "NO_PROXY=", "https_proxy=", "all_proxy=", "no_proxy=")
		return startRelay(t, env, append(args, w.args()...)...)
	}
	if p := run("http://"+x.address, "auth", "refresh", "mystream"); p.exit() != 0 {
		t.Errorf("auth refresh:\n%s", p.err.text())
	}
	if p := run("http://"+x.address, "doctor"); p.exit() != 0 {
		t.Errorf("doctor:\n%s\n%s", p.out.text(), p.err.text())
	}
	if p := run("ftp://user:hush-hush@proxy", "auth", "refresh", "mystream"); p.exit() != exit.Config ||
		!strings.Contains(p.err.text(), "HTTPS_PROXY is not the address of a proxy") || strings.Contains(p.err.text(), "hush") {
		t.Errorf("auth refresh with a proxy that is none:\n%s", p.err.text())
	}
	for _, away := range []string{"ftp://user:hush-hush@proxy", "http://user:hush-hush@127.0.0.1:1", "socks5://user:hush-hush@127.0.0.1:1"} {
		for _, args := range [][]string{{"doctor"}, {"auth", "refresh", "mystream"}} {
			if p := run(away, args...); p.exit() == 0 || strings.Contains(p.out.text()+p.err.text(), "hush") {
				t.Errorf("%q with a proxy that is away:\n%s\n%s", args, p.out.text(), p.err.text())
			}
		}
	}
	p := run("http://" + x.address)
	w.connected()
	w.live.emit(0, 3)
	holds(t, "webhook", w.bot.lines, 0, 3)
	p.stop()

	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.asked) < 4 || slices.ContainsFunc(x.asked, func(host string) bool { return host != hostOnlyOfProxy+":443" }) {
		t.Errorf("the proxy was asked for %s", fmt.Sprint(x.asked))
	}
}
