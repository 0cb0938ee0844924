package web

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// certificateCheck is how often, at most, a new connection checks whether the files changed.
const certificateCheck = time.Second

// Certificate is the certificate of a server, in files that may be replaced while it runs. Its methods may be called by several goroutines.
type Certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu      sync.Mutex
	checked time.Time
	stats   [2]os.FileInfo // of the files as they were read, or tried
	pair    *tls.Certificate
	fault   error // why the files as they are now cannot be used
}

// LoadCertificate reads a certificate with its chain, and its private key, both in PEM. The error says which file is wrong.
func LoadCertificate(certFile, keyFile string, log zerolog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.stats, c.checked = c.stat(), time.Now()
	return c, c.load()
}

// Config returns the configuration of a server with this certificate: TLS 1.2 or newer, HTTP/2 and HTTP/1.1.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

// current returns the certificate in the files, or the last one that could be used.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateCheck {
		return c.pair
	}
	c.checked = time.Now()
	now := c.stat()
	if sameFile(now[0], c.stats[0]) && sameFile(now[1], c.stats[1]) {
		return c.pair
	}
	c.stats = now // before they are read: a change meanwhile is noticed the next time
	if err := c.load(); err != nil {
		c.log.Error().Err(err).Msg("the new TLS certificate cannot be used, the old one remains; replace both files of http.tls")
	} else {
		c.log.Info().Str("file", c.certFile).Msg("the TLS certificate was read again")
	}
	return c.pair
}

// ErrCertificateTime means that a certificate is not valid at this time.
var ErrCertificateTime = errors.New("the certificate is not valid now")

// Problem returns what is wrong with the certificate now, or nil: its files cannot be used, so that an older one is served, or
// [ErrCertificateTime].
func (c *Certificate) Problem() error {
	leaf := c.current().Leaf
	c.mu.Lock()
	defer c.mu.Unlock()
	switch now := time.Now(); {
	case c.fault != nil:
		return c.fault
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w: it expired at %s", ErrCertificateTime, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: it is valid from %s", ErrCertificateTime, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// Leaf returns the certificate itself, without its chain.
func (c *Certificate) Leaf() *x509.Certificate { return c.current().Leaf }

func (c *Certificate) stat() (stats [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		stats[i], _ = os.Stat(name) // reading it reports the error
	}
	return stats
}

// load reads the files. If they cannot be used, the certificate remains as it was. The caller holds mu, if anybody else knows c.
func (c *Certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.fault = fmt.Errorf("read the certificate %s and its key %s: %w", c.certFile, c.keyFile, err)
		return c.fault
	}
	c.pair, c.fault = &pair, nil
	return nil
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
