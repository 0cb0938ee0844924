package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/web/overlay"
)

// write writes a file in a folder, and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificateFor writes a certificate that is valid for these times from now on.
func certificateFor(t *testing.T, from, to time.Duration) config.ServerTLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return config.ServerTLS{
		CertFile: write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))),
		KeyFile:  write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
	}
}

func TestPagesAreChecked(t *testing.T) {
	dir := t.TempDir()
	long, short := write(t, dir, "long", "a long password"), write(t, dir, "short", "s3cr3t")
	write(t, dir, "overlays/main/pizza.png", "\x89PNG\r\n\x1a\n")
	if err := os.MkdirAll(filepath.Join(dir, "overlays", "main", "folder.png"), 0o700); err != nil {
		t.Fatal(err)
	}
	withOverlay := func(change func(*overlay.Settings)) func(*config.Config) {
		return func(c *config.Config) {
			o := overlay.NewSettings()
			change(&o)
			c.Overlays = map[string]config.Overlay{"main": {Settings: o}}
		}
	}
	year := 365 * 24 * time.Hour
	for name, tt := range map[string]struct {
		change func(*config.Config)
		what   string // the check; empty: there is none
		state  State
		detail string
	}{
		"nothing":          {change: func(*config.Config) {}},
		"no server":        {change: func(c *config.Config) { c.HTTP.Listen = config.Off }},
		"password":         {func(c *config.Config) { c.HTTP.PasswordFile = long }, "password", OK, "can be used"},
		"short password":   {func(c *config.Config) { c.HTTP.ModeratorPasswordFile = short }, "password", Fault, "the password has 6 characters"},
		"the same twice":   {func(c *config.Config) { c.HTTP.PasswordFile, c.HTTP.ModeratorPasswordFile = long, long }, "password", Fault, "the same password"},
		"open":             {func(c *config.Config) { c.HTTP.Listen = "0.0.0.0:8350" }, "password", Warning, "open to other machines"},
		"open, password":   {func(c *config.Config) { c.HTTP.Listen, c.HTTP.PasswordFile = ":8350", long }, "password", OK, "can be used"},
		"certificate":      {func(c *config.Config) { c.HTTP.TLS = certificateFor(t, -time.Hour, year) }, "certificate", OK, "is valid until"},
		"old certificate":  {func(c *config.Config) { c.HTTP.TLS = certificateFor(t, -year, -time.Hour) }, "certificate", Fault, "it expired at"},
		"late certificate": {func(c *config.Config) { c.HTTP.TLS = certificateFor(t, -year, 73*time.Hour) }, "certificate", Warning, "it expires in 3 days"},
		"new certificate":  {func(c *config.Config) { c.HTTP.TLS = certificateFor(t, time.Hour, year) }, "certificate", Fault, "it is not valid yet"},
		"no certificate":   {func(c *config.Config) { c.HTTP.TLS = config.ServerTLS{CertFile: long, KeyFile: long} }, "certificate", Fault, "read the certificate " + long},
		"no files":         {withOverlay(func(*overlay.Settings) {}), "overlay", OK, "needs no files"},
		"a picture": {withOverlay(func(o *overlay.Settings) {
			o.Pictures = map[string]string{"pizza": "pizza.png", "default": "pizza.png"}
		}), "overlay", OK, "has its files"},
		"no sound": {withOverlay(func(o *overlay.Settings) { o.Sound = "ding.ogg" }), "overlay", Fault, "read ding.ogg: "},
		"no theme": {withOverlay(func(o *overlay.Settings) { o.Theme = overlay.ThemeCustom }), "overlay", Fault, "read custom.html: "},
		"a folder": {withOverlay(func(o *overlay.Settings) { o.Pictures = map[string]string{"a": "folder.png"} }), "overlay", Fault, "read folder.png: "},
	} {
		d := &doctor{dir: dir, cfg: config.Default()}
		tt.change(d.cfg)
		checks := d.pagesTrack()
		if tt.what == "" {
			if len(checks) > 0 {
				t.Errorf("%s: %d checks", name, len(checks))
			}
			continue
		}
		if len(checks) != 1 {
			t.Errorf("%s: %d checks, want 1", name, len(checks))
			continue
		}
		f := checks[0].run(t.Context())
		if f.Name != tt.what || f.State != tt.state || !strings.Contains(f.Detail, tt.detail) || strings.Contains(f.Detail, "s3cr3t") || (f.Fix != "") != (f.State != OK) {
			t.Errorf("%s: %+v, want %s %s with %q", name, f, tt.what, tt.state, tt.detail)
		}
	}
}

// Relay runs without its pages if another program has the default port, but not if it has one that the operator chose.
func TestPortOfThePages(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &doctor{cfg: config.Default()}
	d.cfg.HTTP.Listen = l.Addr().String()
	if f := d.httpPort(t.Context()); f.State != Fault || !strings.Contains(f.Detail, "in use") {
		t.Errorf("a port in use: %+v", f)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if f := d.httpPort(t.Context()); f.State != OK {
		t.Errorf("a free port: %+v", f)
	}
	d.cfg.HTTP.Listen = config.Off
	for _, c := range d.portTrack() {
		if strings.HasPrefix(c.subject, "http.listen") {
			t.Errorf("without a server: %s %s", c.name, c.subject)
		}
	}
}
