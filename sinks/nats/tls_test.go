package nats_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/sinktest"
)

// TestNATSTLS uses a server that requires a client certificate and a token.
func TestNATSTLS(t *testing.T) {
	ca, cert, key := sinktest.Authority(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("planted-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sinktest.Running(t, fmt.Sprintf("tls: {cert_file: %q, key_file: %q, ca_file: %q, verify: true}\nauthorization: {token: planted-token}",
		cert, key, ca))
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, "tls://"+p.Address)
	config.TokenFile, config.TLSCAFile, config.TLSCertFile, config.TLSKeyFile = token, ca, cert, key
	lane(t, openNATS(t, config, &log), sinktest.Plain("mystream", 20))
	nc, err := nats.Connect("tls://"+p.Address, nats.RootCAs(ca), nats.ClientCert(cert, key), nats.Token("planted-token"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sameRecords(t, sinktest.Stored(t, nc, "TREATS"), sinktest.Plain("mystream", 20))

	// Without the CA, the sink keeps trying and says why.
	config = sinktest.NATSConfig(t, "tls://"+p.Address)
	config.Token = secret.New("planted-token")
	sink := openNATS(t, config, &log)
	for range 500 {
		n, err := sink.Deliver(t.Context(), sinktest.Plain("mystream", 1))
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
	p := sinktest.Running(t, "")
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(sinktest.NATSPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log sinktest.LockedBuffer
	config := sinktest.NATSConfig(t, "nats://"+p.Address)
	config.User, config.PasswordFile = "relay", path
	lane(t, openNATS(t, config, &log), sinktest.Plain("mystream", 2))
	sameRecords(t, p.Stored(t, "TREATS"), sinktest.Plain("mystream", 2))
}
