package socket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/coder/websocket"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/socket/internal/payload"
)

// RejectedError means that the server accepted the connection and then rejected it, as a middleware (io.use) does with
// an unknown token. The client retries with a fresh query.
type RejectedError struct {
	Namespace string
	Message   string // the server's text: at most 200 bytes, no control characters, no value of the query
}

// Error implements error.
func (e *RejectedError) Error() string {
	if e.Namespace == "/" {
		return fmt.Sprintf("connect: the server refused: %q", e.Message)
	}
	return fmt.Sprintf("connect to namespace %q: the server refused: %q", e.Namespace, e.Message)
}

// kind classifies failures for the log: a failure of the same kind as the last one is not logged again.
type kind string

const (
	kindQuery     kind = "query"
	kindDNS       kind = "dns"
	kindRefused   kind = "refused"
	kindTLS       kind = "tls"
	kindTimeout   kind = "timeout"
	kindNetwork   kind = "network"
	kindHandshake kind = "handshake"
	kindUpgrade   kind = "upgrade"
	kindRejected  kind = "rejected"
	kindLost      kind = "lost"
	kindDelayed   kind = "held" // not tried, as the server asked
)

// fault is a failure and its kind.
type fault struct {
	kind kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// kindOf returns the kind of a failure.
func kindOf(err error) kind {
	if f, ok := errors.AsType[*fault](err); ok {
		return f.kind
	}
	if _, ok := errors.AsType[*RejectedError](err); ok {
		return kindRejected
	}
	return kindLost
}

// handshakeError means that a server answered a dial, but not with an Engine.IO handshake. No other failure of a dial
// says anything about the server's revision.
type handshakeError struct {
	tried   Protocol
	why     string
	blocked bool // the network may block WebSocket
}

func (e *handshakeError) Error() string {
	return fmt.Sprintf("no handshake of Engine.IO %v: %s", e.tried, e.why)
}

// upgradeError means that the server, or an intermediary, was reached but WebSocket was not available.
type upgradeError struct {
	why  string
	sure bool // the network blocks WebSocket; otherwise the server may be at fault
}

func (e *upgradeError) Error() string { return e.why }

// silenceError means that the server was silent for that long.
type silenceError struct{ limit time.Duration }

func (e *silenceError) Error() string { return fmt.Sprintf("silence for %v", e.limit) }

// mayPoll reports whether long-polling may work where WebSocket has failed. If that is a guess, it takes two failures
// in a row, since each attempt costs a token.
func mayPoll(err error, again bool) bool {
	if none, ok := errors.AsType[*upgradeError](err); ok {
		return none.sure || again
	}
	silent, ok := errors.AsType[*handshakeError](err)
	return ok && silent.blocked && again
}

// revisionError means that the server speaks another revision than was tried.
type revisionError struct{ spoken Protocol }

func (e *revisionError) Error() string {
	return fmt.Sprintf("the server speaks Engine.IO %v: set the protocol to %v or auto", e.spoken, e.spoken)
}

// permanent reports whether an error of [Config.Query] means that retrying is useless.
func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// networkFault returns the kind of a failed dial and its root cause.
func networkFault(ctx context.Context, host string, err error, scrub scrubber) *fault {
	f := &fault{kind: kindNetwork}
	_, unknownHost := errors.AsType[*net.DNSError](err)
	_, badRecord := errors.AsType[tls.RecordHeaderError](err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		f.kind, err = kindTimeout, context.Cause(ctx)
	case unknownHost:
		f.kind = kindDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		f.kind = kindRefused
	case badRecord || badCertificate || alert:
		f.kind = kindTLS
	case isNet && timeout.Timeout():
		f.kind = kindTimeout
	}
	f.err = fmt.Errorf("connect to %s: %s", host, scrub.root(err))
	return f
}

// lost returns why a connection ended.
func lost(err error, scrub scrubber) *fault {
	return &fault{kindLost, errors.New(scrub.root(err))}
}

// scrubber knows the query and its values, which must not appear in logs and errors.
type scrubber []secret.String

// newScrubber makes a scrubber of the query string and its secret values. It replaces the whole first, then longer
// values before shorter ones that they may contain.
func newScrubber(raw string, query url.Values) scrubber {
	texts := []string{raw}
	for _, values := range query {
		for _, value := range values {
			texts = append(texts, value, url.QueryEscape(value), url.PathEscape(value))
		}
	}
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	var s scrubber
	for _, text := range slices.Compact(texts) {
		s = append(s, secret.New(text))
	}
	return s
}

// root returns the root cause of a network error. Its wrappers repeat "failed to", and contain the URL with its query
// and the local address, which always differs.
func (s scrubber) root(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	closed, isClose := errors.AsType[websocket.CloseError](err)
	switch {
	case isClose && closed.Reason != "":
		return fmt.Sprintf("the server closed the connection: status %d: %q", closed.Code, s.clean(closed.Reason))
	case isClose:
		return fmt.Sprintf("the server closed the connection: status %d", closed.Code)
	case errors.Is(err, websocket.ErrMessageTooBig) || errors.Is(err, payload.ErrTooLarge):
		return fmt.Sprintf("the server sent a message of more than %d bytes", skipLimit)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded.Error()
	}
	return s.clean(err.Error())
}

// clean makes foreign text safe for a log line: no secrets, no control or format characters, at most 200 bytes.
func (s scrubber) clean(text string) string {
	const most = 200
	text = secret.Scrub(text[:min(len(text), 1<<14)], s...)
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return strings.TrimSpace(text)
}
