package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline/journal/jetstream"
)

// journalConn connects to the journal's server. It waits for a server that does not answer.
func journalConn(ctx context.Context, cfg config.Journal, log zerolog.Logger) (*nats.Conn, error) {
	opts := slices.Concat(jetstream.ConnOptions(), journalLogin(cfg), []nats.Option{
		nats.Name("relay journal"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Debug().Err(err).Msg("connection to the journal's server")
		}),
	})
	at := Hosts(cfg.NATSURL.Reveal())
	for logged := false; ; logged = true {
		conn, err := nats.Connect(cfg.NATSURL.Reveal(), opts...)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, nats.ErrAuthorization), !IsUnreachable(err):
			return nil, journalRefused(cfg, err)
		case !logged:
			log.Warn().Str("server", at).Msg("journal's server does not answer; waiting for it")
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func journalLogin(cfg config.Journal) (opts []nats.Option) {
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if !cfg.Token.Empty() {
		opts = append(opts, nats.Token(cfg.Token.Reveal()))
	}
	return opts
}

func journalRefused(cfg config.Journal, err error) error {
	err = errors.New(secret.Scrub(err.Error(), cfg.NATSURL, cfg.Token))
	return exit.With(exit.Unavailable, fmt.Errorf("connect to the journal's server %s (journal.nats_url): %w", Hosts(cfg.NATSURL.Reveal()), err))
}

// IsUnreachable reports whether a failed connection may succeed later: the server, its name or the network is down.
func IsUnreachable(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	return network || dns || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, nats.ErrConnectionClosed)
}

// Hosts returns the hosts of a list of NATS URLs, without their logins.
func Hosts(urls string) string {
	var hosts []string
	for one := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}
