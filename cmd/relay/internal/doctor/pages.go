package doctor

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/session"
)

// certificateWarn is how long before its end a certificate is worth a warning.
const certificateWarn = 14 * 24 * time.Hour

// pagesTrack checks what the HTTP server and the overlays need.
func (d *doctor) pagesTrack() (t track) {
	h := d.cfg.HTTP
	if h.PasswordFile != "" || h.ModeratorPasswordFile != "" || h.Served() && !h.Loopback() {
		t = append(t, check{"password", "http", networkLimit, func(context.Context) Finding { return passwords(h) }})
	}
	if h.TLS.CertFile != "" {
		t = append(t, check{"certificate", h.TLS.CertFile, networkLimit, func(context.Context) Finding { return serverCertificate(h.TLS, time.Now()) }})
	}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Overlays)) {
		t = append(t, check{"overlay", name, diskLimit, func(context.Context) Finding { return d.overlayFiles(name) }})
	}
	return t
}

// passwords checks the passwords of the dashboard.
func passwords(h config.HTTP) Finding {
	_, err := session.New(session.Config{PasswordFile: h.PasswordFile, ModeratorPasswordFile: h.ModeratorPasswordFile})
	switch {
	case err != nil:
		return faulty(advice.Do("correct the file that is named"), "%v", err).coded(exit.Config)
	case h.PasswordFile == "" && !h.Loopback():
		return warned(advice.Do("set http.password_file"), "http.listen %s is open to other machines, and the dashboard has no password: only relay dashboard logs in", h.Listen)
	}
	return fine("can be used")
}

// serverCertificate checks the certificate of the HTTP server.
func serverCertificate(files config.ServerTLS, now time.Time) Finding {
	c, err := web.LoadCertificate(files.CertFile, files.KeyFile, zerolog.Nop())
	if err != nil {
		return faulty(advice.Do("name a PEM certificate and its own key in http.tls"), "%v", err).coded(exit.Config)
	}
	leaf := c.Leaf()
	const renew = "renew the certificate; relay reads the new files by itself"
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		return faulty(advice.Do(renew), "it is not valid yet: it begins at %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		return faulty(advice.Do(renew), "it expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case left < certificateWarn:
		return warned(advice.Do(renew), "it expires in %d days", int(left.Hours()/24))
	}
	return fine("is valid until %s", leaf.NotAfter.UTC().Format(time.DateOnly))
}

// overlayFiles checks the files that the settings of an overlay name.
func (d *doctor) overlayFiles(name string) Finding {
	o, dir := d.cfg.Overlays[name], filepath.Join(d.dir, datadir.OverlaysDir, name)
	if len(o.Files()) == 0 {
		return fine("needs no files")
	}
	if err := o.CheckFiles(dir); err != nil {
		return faulty(advice.Do("put each file into "+dir+", or correct the configuration"), "%v", err)
	}
	return fine("has its files in %s", dir)
}
