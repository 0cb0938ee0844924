package field

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSFiles are the configuration keys for TLS. Each names a PEM file.
type TLSFiles struct {
	// TLSCAFile (yaml: tls_ca_file) has the certificates to trust instead of those of the system.
	TLSCAFile string `yaml:"tls_ca_file"`
	// TLSCertFile (yaml: tls_cert_file) and TLSKeyFile (yaml: tls_key_file) have the client certificate of relay and
	// its key.
	TLSCertFile string `yaml:"tls_cert_file"`
	TLSKeyFile  string `yaml:"tls_key_file"`
}

// CheckTLS checks the keys without reading a file.
func (f *TLSFiles) CheckTLS() error {
	if (f.TLSCertFile == "") != (f.TLSKeyFile == "") {
		return Wrap("tls_cert_file", errors.New("requires tls_key_file, and the reverse: set both or neither"))
	}
	return nil
}

// TLSConfig reads the files and returns a configuration for TLS 1.2 or later.
func (f *TLSFiles) TLSConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if f.TLSCAFile != "" {
		if config.RootCAs, err = readCertificates("tls_ca_file", f.TLSCAFile); err != nil {
			return nil, err
		}
	}
	if f.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(f.TLSCertFile, f.TLSKeyFile)
		if err != nil {
			return nil, Wrap("tls_cert_file", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func readCertificates(key, path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator chose the path
	if err != nil {
		return nil, Wrap(key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, Wrap(key, fmt.Errorf("%s holds no PEM certificate", path))
	}
	return pool, nil
}
