package sinks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/secret"
)

// authority writes the certificate of a new CA, and one it has signed for 127.0.0.1, with its key.
func authority(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, typ string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "relay"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	rootKey, leafKey := newKey(), newKey()
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", rootDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER)
}

// TestNATSTLS has a server that wants a client certificate and a token.
func TestNATSTLS(t *testing.T) {
	ca, cert, key := authority(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("planted-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := running(t, fmt.Sprintf("tls: {cert_file: %q, key_file: %q, ca_file: %q, verify: true}\nauthorization: {token: planted-token}",
		cert, key, ca))
	var log lockedBuffer
	config := natsConfig(t, "tls://"+p.address)
	config.TokenFile, config.TLSCAFile, config.TLSCertFile, config.TLSKeyFile = token, ca, cert, key
	lane(t, openNATS(t, config, &log), plain("mystream", 20))
	nc, err := nats.Connect("tls://"+p.address, nats.RootCAs(ca), nats.ClientCert(cert, key), nats.Token("planted-token"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sameRecords(t, stored(t, nc, "TREATS"), plain("mystream", 20))

	// Without the CA, the sink keeps trying and says why.
	config = natsConfig(t, "tls://"+p.address)
	config.Token = secret.New("planted-token")
	sink := openNATS(t, config, &log)
	for range 500 {
		n, err := sink.Deliver(t.Context(), plain("mystream", 1))
		if n != 0 || err == nil {
			t.Fatalf("Deliver = %d, %v", n, err)
		}
		if strings.Contains(err.Error(), "certificate") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(log.String(), "certificate") || strings.Contains(log.String(), "planted") {
		t.Errorf("log:\n%s", log.String())
	}
}

// TestNATSPasswordFile logs in by name, with the password in a file.
func TestNATSPasswordFile(t *testing.T) {
	p := running(t, "")
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(natsPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	config := natsConfig(t, "nats://"+p.address)
	config.User, config.PasswordFile = "relay", path
	lane(t, openNATS(t, config, &log), plain("mystream", 2))
	sameRecords(t, p.stored(t, "TREATS"), plain("mystream", 2))
}
