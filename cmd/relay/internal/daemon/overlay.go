package daemon

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/datadir"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/natsserver"
	natssink "github.com/treatrelay/relay/sinks/nats"
)

// openServer starts the embedded NATS server, for overlay backends, if a sink publishes to it. A new login is shown once, on o.Notice.
func (f *sinkFactory) openServer(ctx context.Context, cfg *config.Config, o Options, undo *datadir.Teardown) error {
	dir := o.Dir
	overlay := false
	for _, s := range cfg.Sinks {
		if n, ok := s.Config.(*natssink.Config); ok && n.URL.Empty() {
			overlay = true
		}
	}
	if !overlay {
		return nil
	}
	login, created, err := datadir.LoadOverlayLogin(dir)
	if err != nil {
		return err
	}
	server, err := natsserver.Start(ctx, natsserver.Config{
		Dir: filepath.Join(dir, datadir.OverlayDir), Listen: cfg.NATS.Listen, Websocket: cfg.NATS.Websocket,
		OverlayUser: login.User, OverlayPassword: login.Secret(), Log: f.log,
	})
	if err != nil {
		return exit.With(exit.Unavailable, err)
	}
	f.server = server
	undo.Add("embedded NATS server", func() error { server.Close(); return nil }) //nolint:contextcheck // it ends by itself
	at, err := url.Parse(server.URL())
	if err != nil {
		return fmt.Errorf("address of the embedded NATS server: %w", err)
	}
	f.log.Info().Str("url", at.String()).Str("credentials", filepath.Join(dir, datadir.OverlayFile)).Msg("overlay backends may connect")
	if page := server.WebsocketURL(); page != "" {
		f.log.Info().Str("url", page).Str("credentials", filepath.Join(dir, datadir.OverlayFile)).Msg("overlay pages may connect")
	}
	if created {
		at.User = url.UserPassword(login.User, login.Password)
		_, err = fmt.Fprintf(o.Notice, "Overlay backends connect to %s\nThis is shown once; %s keeps it.\n", at, filepath.Join(dir, datadir.OverlayFile))
	}
	return err
}
