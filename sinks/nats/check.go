package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/treatrelay/relay/sinks/internal/check"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// OwnStream returns the name of the stream if it is on relay's own server, or an empty string if the sink publishes to
// another server.
func (c *Config) OwnStream() string {
	if !c.URL.Empty() {
		return ""
	}
	return c.Stream
}

// Check inspects the stream of a sink with a url, see [Config.Inspect].
func (c *Config) Check(ctx context.Context, of check.Checkup) (check.Result, error) {
	server, info, err := c.Inspect(ctx, of.Name)
	if err == nil {
		return check.Result{Detail: describe(server, c.Stream, info)}, nil
	}
	at := "sinks." + of.Name
	_, wrongKey := errors.AsType[*field.Error](err)
	_, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case wrongKey, distrusted: // the fix is the same for every sink
	case errors.Is(err, nats.ErrAuthorization):
		err = check.Fault(err, "correct the login of "+at+" in the configuration")
	case errors.Is(err, nats.ErrPermissionViolation):
		err = check.Fault(err, "let the login use $JS.API.STREAM.INFO, CREATE and UPDATE of the stream and subscribe to _INBOX.>")
	case Unreachable(err):
		err = check.Fault(err, "start the server or change "+at+".url")
	default:
		err = check.Fault(err, "correct the stream or change "+at+".stream and subject")
	}
	return check.Result{}, err
}

// CheckStream inspects a stream as [InspectStream] does, and describes it in one line.
func CheckStream(ctx context.Context, nc *nats.Conn, server, stream string) (string, error) {
	info, err := InspectStream(ctx, nc, stream)
	if err != nil {
		return "", fmt.Errorf("stream %s on %s: %w", stream, server, err)
	}
	return describe(server, stream, info), nil
}

func describe(server, stream string, info *jetstream.StreamInfo) string {
	if info == nil {
		return fmt.Sprintf("connected to %s; stream %s does not exist yet, and may be created", server, stream)
	}
	return fmt.Sprintf("connected to %s; stream %s has %d messages", server, stream, info.State.Msgs)
}

// Unreachable reports whether err means that the server, its name or its network is down, so that a later attempt may
// succeed.
func Unreachable(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	return network || dns || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, nats.ErrConnectionClosed)
}
