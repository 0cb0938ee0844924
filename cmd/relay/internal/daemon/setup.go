package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/setup"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/session"
)

// Pages are the address of the pages and who is logged in there. [Setup] hands them to [Run], so that the browser stays logged in.
type Pages struct {
	listener net.Listener
	sessions *session.Sessions
}

// OpenPages listens on http.listen, for a relay that [Run] starts before an account is logged in.
func OpenPages(ctx context.Context, cfg config.HTTP) (*Pages, error) {
	l, err := listenHTTP(ctx, cfg.Listen)
	if err != nil {
		return nil, err
	}
	sessions, err := (*Pages)(nil).open(cfg)
	if err != nil {
		return nil, errors.Join(exit.With(exit.Config, err), l.Close())
	}
	return &Pages{l, sessions}, nil
}

// Link returns a link that logs in to the dashboard as its owner, once until a time.
func (p *Pages) Link(cfg config.HTTP) (link string, until time.Time) {
	token := p.sessions.NewLinkFor(session.Owner, setupLinkLife)
	return cfg.URL(p.listener.Addr().String()) + "/#link=" + token.Reveal(), time.Now().Add(setupLinkLife)
}

// Close closes the listener. After [Run], which closes it too, that does nothing.
func (p *Pages) Close() {
	_ = p.listener.Close() // nothing is written to it
}

// open returns the sessions of the pages: those that there are, or new ones.
func (p *Pages) open(cfg config.HTTP) (*session.Sessions, error) {
	if p != nil {
		return p.sessions, nil
	}
	return session.New(session.Config{PasswordFile: cfg.PasswordFile, ModeratorPasswordFile: cfg.ModeratorPasswordFile})
}

const (
	setupLinkLife = time.Hour       // that the link of a setup works, once
	setupClose    = 5 * time.Second // that the last answers may take
)

// SetupOptions say what a setup writes, and who is told about it.
type SetupOptions struct {
	Path   string // of relay.yaml
	Getenv func(string) (string, bool)
	// Open gets a link that logs in to the page, once until a time.
	Open func(link string, until time.Time) error
	Log  zerolog.Logger
}

// Setup serves the page that makes the first configuration, on the default of http.listen, or on any port if that is taken. It returns once relay.yaml
// is written, and keeps the address for [Run]: requests wait until relay runs. The error is the cause of ctx if that ends before.
func Setup(ctx context.Context, o SetupOptions) (_ *Pages, err error) {
	l, err := listenAnyPort(ctx)
	if err != nil {
		return nil, err
	}
	pages := &Pages{listener: l}
	defer func() {
		if err != nil {
			pages.Close()
		}
	}()
	if pages.sessions, err = session.New(session.Config{}); err != nil {
		return nil, err
	}
	address := l.Addr().String()
	s, err := setup.New(setup.Config{Path: o.Path, Listen: lasting(l.Addr()), Getenv: o.Getenv, Log: o.Log})
	if err != nil {
		return nil, err
	}
	handler, err := web.New(web.Config{
		API: s.Handler(), Access: func(string, string) session.Role { return session.Owner }, Sessions: pages.sessions, Assets: web.Assets(),
		Listen: address, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := pages.serve(ctx, handler, o, s.Done()); err != nil {
		return nil, err
	}
	return pages, nil
}

// serve serves a handler until done is closed, and keeps the listener. The error is the cause of ctx if that ends before.
func (p *Pages) serve(ctx context.Context, handler http.Handler, o SetupOptions, done <-chan struct{}) (err error) {
	hs, shared := defaultHTTPLimits().server(handler, o.Log), &sharedListener{p.listener}
	var served sync.WaitGroup
	served.Go(func() {
		if err := hs.Serve(shared); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error().Err(err).Msg("http server ended")
		}
	})
	defer func() {
		closeServer(ctx, hs)
		served.Wait()
		err = errors.Join(err, shared.reopen())
	}()
	link := p.sessions.NewLinkFor(session.Owner, setupLinkLife)
	if err := o.Open("http://"+p.listener.Addr().String()+"/#link="+link.Reveal(), time.Now().Add(setupLinkLife)); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("set up relay: %w", context.Cause(ctx))
	}
}

// closeServer closes a server, after the answers that it is giving.
func closeServer(ctx context.Context, hs *http.Server) {
	within, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), setupClose, errors.New("the last answers take too long"))
	defer cancel()
	if hs.Shutdown(within) != nil {
		_ = hs.Close() // the listener stays open
	}
}

// A sharedListener stays open when its server closes it, so that another server can go on with it. Connections wait meanwhile.
type sharedListener struct{ net.Listener }

// deadliner is a listener whose Accept can be made to return.
type deadliner interface{ SetDeadline(time.Time) error }

// Close makes Accept return.
func (l *sharedListener) Close() error {
	if d, ok := l.Listener.(deadliner); ok {
		return d.SetDeadline(time.Now())
	}
	return l.Listener.Close()
}

// reopen makes the listener work again after Close.
func (l *sharedListener) reopen() error {
	if d, ok := l.Listener.(deadliner); ok {
		return d.SetDeadline(time.Time{})
	}
	return nil
}
