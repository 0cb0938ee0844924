package webhook_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
	"github.com/treatrelay/relay/sinks/webhook"
)

// certify makes a certificate that signs itself, for a client.
func certify(t *testing.T, dir string) (certFile, keyFile string, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay"}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "relay.pem"), filepath.Join(dir, "relay.key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", private)
	return certFile, keyFile, cert
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWebhookShowsItsCertificate uses a receiver that requires a client certificate (mTLS).
func TestWebhookShowsItsCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, cert := certify(t, dir)
	var name atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(cert)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(dir, "ca.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	if err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, server.URL, func(c *webhook.Config) { c.TLSCAFile = ca })); sinktest.ErrorClass(err) != "unavailable" {
		t.Errorf("without a certificate: %v", err)
	}
	err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, server.URL, func(c *webhook.Config) {
		c.TLSCAFile, c.TLSCertFile, c.TLSKeyFile = ca, certFile, keyFile
	}))
	if err != nil || name.Load() != "relay" {
		t.Errorf("the receiver saw %v: %v", name.Load(), err)
	}
}

// proxy is an HTTP proxy that wants a login, and remembers what it was asked for.
type proxy struct {
	mu    sync.Mutex
	asked []string
	login string
}

// requests returns what was asked for since the last call.
func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	if r.Header.Get("Proxy-Authorization") != p.login {
		http.Error(w, "who are you? not "+r.Header.Get("Proxy-Authorization"), http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		r.RequestURI = ""
		r.Header.Del("Proxy-Authorization")
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, "", http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(far, buffered)
		_ = far.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(near, far)
	_ = near.Close()
	copying.Wait()
}

func TestWebhookThroughAProxy(t *testing.T) {
	p := &proxy{login: "Basic dXNlcjpwbGFudGVkLXdvcmQ="} // user:planted-word
	address := sinktest.Receiver(t, p.ServeHTTP)
	with := func(login string) string { return strings.Replace(address, "http://", "http://"+login+"@", 1) }
	var hits atomic.Int32
	count := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	inClear := sinktest.Receiver(t, count)
	server := httptest.NewTLSServer(count)
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	for _, url := range []string{inClear, server.URL} {
		through := func(text string) error {
			sink := sinktest.OpenWebhook(t, url, func(c *webhook.Config) { c.Proxy, c.TLSCAFile = secret.New(text), ca })
			defer sink.Close()
			return sinktest.DeliverOne(t, sink)
		}
		_ = p.requests()
		err := through(with("user:planted-word"))
		if asked := p.requests(); err != nil || len(asked) != 1 || !strings.HasSuffix(asked[0], strings.SplitN(url, "//", 2)[1]) {
			t.Errorf("%s: the proxy was asked for %q: %v", url, asked, err)
		}
		for _, login := range []string{"user:planted-other", "planted-user:planted-word"} {
			err := through(with(login))
			if sinktest.ErrorClass(err) != "unavailable" || strings.Contains(err.Error(), "planted") || !strings.Contains(err.Error(), "password in proxy") {
				t.Errorf("%s with a wrong login: %s: %v", url, sinktest.ErrorClass(err), err)
			}
		}
		err = through("http://user:planted-word@" + sinktest.FreeAddress(t))
		if sinktest.ErrorClass(err) != "unavailable" || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s without the proxy: %s: %v", url, sinktest.ErrorClass(err), err)
		}
	}
	if n := hits.Load(); n != 2 {
		t.Errorf("%d requests came through, want 2", n)
	}
}

// The environment's proxies are for programs that reach out for their user; relay uses only the configured one.
func TestWebhookIgnoresTheEnvironmentsProxy(t *testing.T) {
	p := new(proxy)
	address := sinktest.Receiver(t, p.ServeHTTP)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, address)
	}
	err := sinktest.DeliverOne(t, sinktest.OpenWebhook(t, "http://bot.example/", func(c *webhook.Config) { webhook.SetResolver(c, names(t, nil)) }))
	if asked := p.requests(); sinktest.ErrorClass(err) != "unavailable" || len(asked) != 0 {
		t.Errorf("the proxy was asked for %q: %v", asked, err)
	}
}

func TestProxyConfiguration(t *testing.T) {
	for _, c := range []struct{ url, proxy, want string }{
		{"https://bot.example/", "http://proxy.example:3128", ""},
		{"https://bot.example/", "https://u:p@proxy.example/", ""},
		{"https://bot.example/", "http://10.0.0.1:3128", ""},
		{"https://bot.example/", "proxy.example:3128", "proxy: is not the URL of a proxy"},
		{"https://bot.example/", "socks5://proxy.example", "proxy: is not the URL of a proxy"},
		{"https://bot.example/", "http://u:planted%zz@proxy.example", "proxy: is not the URL of a proxy"},
		{"https://bot.example/", "http://proxy.example/path", "proxy: is not the URL of a proxy"},
		{"https://bot.example/", "http://0x7f.1:3128", "in another spelling"},
		{"https://bot.example/", "http://169.254.169.254:80", credentials},
		{"http://metadata.google.internal/", "http://proxy.example:3128", credentials},
		{"http://Metadata.Google.Internal./", "http://proxy.example:3128", credentials},
		{"http://169.254.169.254/", "http://proxy.example:3128", credentials},
		{"http://127.1/", "http://proxy.example:3128", "in another spelling"},
	} {
		config := sinks.NewConfig("webhook").(*webhook.Config)
		config.URL, config.Secret, config.Proxy = secret.New(c.url), secret.New(sinktest.WebhookSecret), secret.New(c.proxy)
		err := config.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted")) {
			t.Errorf("%s through %s: %v, want %q", c.url, c.proxy, err, c.want)
		}
	}
}

func TestWebhookReusesConnections(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("thank you ", 500))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	sink := sinktest.OpenWebhook(t, server.URL, nil)
	for range 50 {
		if err := sinktest.DeliverOne(t, sink); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for 50 requests", n)
	}
}

// TestWebhookUnpacksLittle uses a response of 50 KB that decompresses to 50 MB.
func TestWebhookUnpacksLittle(t *testing.T) {
	var packed bytes.Buffer
	packer, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = packer.Write([]byte("first words "))
	zeros := bytes.Repeat([]byte("."), 1<<20)
	for range 50 {
		_, _ = packer.Write(zeros)
	}
	_ = packer.Close()
	if n := packed.Len(); n > 60<<10 {
		t.Fatalf("the bomb has %d bytes", n)
	}
	url := sinktest.Receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	})
	var log sinktest.Attempts
	sink := sinktest.OpenWebhookIn(t, sinks.Env{Attempt: log.Add}, url, nil)
	if err := sinktest.DeliverOne(t, sink); err != nil { // Once before, for what is made once.
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := sinktest.DeliverOne(t, sink); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes were allocated for an answer", n)
	}
	if a := log.Take()[1]; !strings.HasPrefix(a.Answer, "first words ...") || len(a.Answer) != 1024 {
		t.Errorf("answer of %d bytes: %.40q", len(a.Answer), a.Answer)
	}
}
