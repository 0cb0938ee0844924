package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// writePair writes a new certificate with this serial number, and its key. Each file is replaced at once, as certificate tools do.
func writePair(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	return writePairUntil(t, dir, serial, time.Now().Add(time.Hour))
}

func writePairUntil(t *testing.T, dir string, serial int64, end time.Time) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: end.Add(-2 * time.Hour), NotAfter: end,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replace(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	replace(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return certFile, keyFile
}

func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir, log := t.TempDir(), &logBuffer{}
	certFile, keyFile := writePair(t, dir, 1)
	c, err := LoadCertificate(certFile, keyFile, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", c.Config())
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			_ = conn.Close()
		}
	})
	defer served.Wait()
	defer l.Close()
	serial := func() int64 {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		state := conn.ConnectionState()
		if state.Version < tls.VersionTLS12 || state.NegotiatedProtocol != "h2" {
			t.Errorf("version %x, protocol %q", state.Version, state.NegotiatedProtocol)
		}
		return state.PeerCertificates[0].SerialNumber.Int64()
	}
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(deadline); !is(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the certificate is still %d; the log is %s", what, serial(), log)
			}
		}
	}
	if got := serial(); got != 1 {
		t.Fatalf("the certificate is %d, want 1", got)
	}
	replace(t, keyFile, []byte("no key"))
	until("a wrong key", func() bool { return serial() == 1 && strings.Contains(log.String(), "cannot be used") })
	if err := c.Problem(); err == nil || errors.Is(err, ErrCertificateTime) {
		t.Errorf("the problem of a wrong key is %v", err)
	}
	writePair(t, dir, 2)
	until("a new pair", func() bool { return serial() == 2 })
	if err := c.Problem(); err != nil {
		t.Errorf("the problem of a good pair is %v", err)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	until("no key", func() bool { return serial() == 2 && strings.Count(log.String(), "cannot be used") >= 2 })
}

func TestCertificateOutOfItsTime(t *testing.T) {
	for _, end := range []time.Time{time.Now().Add(-time.Minute), time.Now().Add(3 * time.Hour)} {
		certFile, keyFile := writePairUntil(t, t.TempDir(), 1, end)
		c, err := LoadCertificate(certFile, keyFile, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Problem(); !errors.Is(err, ErrCertificateTime) {
			t.Errorf("valid until %s: the problem is %v", end, err)
		}
	}
}

func TestCertificateThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir, 1)
	other, _ := writePair(t, t.TempDir(), 2)
	for _, pair := range [][2]string{{certFile, filepath.Join(dir, "missing")}, {keyFile, keyFile}, {other, keyFile}, {dir, keyFile}} {
		_, err := LoadCertificate(pair[0], pair[1], zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), pair[0]) || !strings.Contains(err.Error(), pair[1]) {
			t.Errorf("%v: error %v", pair, err)
		}
	}
}
