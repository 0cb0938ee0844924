package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/sinks/internal/field"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// Inspect connects to the configured server once, as the sink does, and inspects the stream as [InspectStream] does. It
// returns an error if the sink could not use the stream. The sink must have a url.
func (c *Config) Inspect(ctx context.Context, name string) (server string, info *jetstream.StreamInfo, err error) {
	servers, err := parseServers(c.URL)
	if err != nil {
		return "", nil, field.Wrap("url", err)
	}
	login, secrets, err := c.login(servers)
	if err != nil {
		return "", nil, err
	}
	server = hosts(servers)
	options := append([]nats.Option{nats.Name("relay doctor " + name), nats.NoReconnect(), nats.Timeout(dialTimeout)}, login...)
	nc, err := nats.Connect(c.URL.Reveal(), options...)
	if err != nil {
		return server, nil, fmt.Errorf("connect to %s: %w", server, outcome.Redact(err, secrets))
	}
	defer nc.Close()
	info, err = InspectStream(ctx, nc, c.Stream)
	if err == nil && info != nil && info.Config.Metadata[madeByRelay] == "" {
		err = checkForeign(info.Config, streamConfig(c.Stream, c.Subject, c.Retention))
	}
	if err != nil {
		err = fmt.Errorf("stream %s on %s: %w", c.Stream, server, outcome.Redact(err, secrets))
	}
	return server, info, err
}

// InspectStream checks, without changing anything, whether a stream exists. If it does not but the login may create it,
// info is nil. It replaces the error handler of the connection, through which the server reports missing permissions.
func InspectStream(ctx context.Context, nc *nats.Conn, name string) (info *jetstream.StreamInfo, err error) {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refuse(err) })
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, name)
	switch {
	case err == nil:
		return stream.CachedInfo(), nil
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, jetStreamError(outcome.Cause(ctx, err))
	}
	// The server rejects a request without the stream name, but checks permissions first.
	answer, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.CREATE."+name, []byte("{}"))
	if err != nil {
		return nil, jetStreamError(outcome.Cause(ctx, err))
	}
	var refusal struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(answer.Data, &refusal); err == nil && refusal.Error != nil && refusal.Error.ErrorCode != codeStreamMismatch {
		return nil, fmt.Errorf("it does not exist and cannot be created: %w", refusal.Error)
	}
	return nil, nil //nolint:nilnil // it does not exist, and may be created
}

// codeStreamMismatch is the error code for a request whose stream name differs from its subject (nats-server,
// server/errors.json).
const codeStreamMismatch = 10056

// jetStreamError explains a missing reply.
func jetStreamError(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return fmt.Errorf("%w: the server has no JetStream, start it with -js", err)
	}
	return err
}
