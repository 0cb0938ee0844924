package socket_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/peertest"
)

// peer is a real Socket.IO server, testdata/peers/server.js.
type peer struct {
	t     *testing.T
	url   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

// startPeer starts a server, or skips the test where there is no Node.
func startPeer(t *testing.T, args ...string) *peer {
	t.Helper()
	node, dir := peertest.Require(t)
	p := &peer{t: t, cmd: exec.Command(node, append([]string{"server.js"}, args...)...)}
	p.cmd.Dir = dir
	p.cmd.Stderr = t.Output()
	var err error
	p.stdin, err = p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = p.cmd.Process.Kill() // it may be frozen
		_ = p.cmd.Wait()
	})
	p.lines = bufio.NewScanner(stdout)
	ready := p.answer()
	scheme := "http"
	if slices.Contains(args, "--tls-key") {
		scheme = "https"
	}
	p.url = fmt.Sprintf("%s://127.0.0.1:%v", scheme, ready.Port)
	return p
}

// answer is any line of a peer.
type answer struct {
	OK          bool
	Error       string
	Port        int
	Connections int
	Connected   int
	Tokens      []string
	Protocols   []int
	Heartbeats  int
}

func (p *peer) answer() (a answer) {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the peer is gone: %v", p.lines.Err())
	}
	if err := json.Unmarshal(p.lines.Bytes(), &a); err != nil {
		p.t.Fatalf("the peer said %q: %v", p.lines.Bytes(), err)
	}
	return a
}

type command map[string]any

// do gives the peer a command and returns its answer.
func (p *peer) do(c command) answer {
	p.t.Helper()
	line, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	a := p.answer()
	if !a.OK {
		p.t.Fatalf("the peer refused %s: %s", line, a.Error)
	}
	return a
}

func (p *peer) report() answer { return p.do(command{"cmd": "report"}) }

// certificate makes a certificate for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (keyFile, certFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	save := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return save("key.pem", "PRIVATE KEY", private), save("cert.pem", "CERTIFICATE", der), roots
}
