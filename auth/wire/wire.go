// Package wire sends token requests to providers and decides what a reply without a token means for the grant. Accounts
// that share a [Transport] share its limits on requests.
package wire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
	"github.com/treatrelay/relay/internal/httpheader"
	"github.com/treatrelay/relay/internal/proxy"
	"github.com/treatrelay/relay/internal/secret"
)

// AnswerWithin is the maximum duration of a request, from dialing to the last byte of the reply.
const AnswerWithin = 30 * time.Second

const (
	answerLimit = 1 << 20 // bytes of a body
	// lingerFor is how long a request continues after its caller gave up: a reply that is not read can cost the grant.
	lingerFor     = 5 * time.Second
	retryAfterMax = 24 * time.Hour
)

// Client sends token requests. Each uses its own connection and has a deadline and a bounded body. A Client follows no
// redirects, because a 307 would pass the client secret on, and keeps no cookies. It is safe for concurrent use.
type Client struct {
	client  *http.Client
	agent   string
	traffic *traffic
}

// NewTransport returns the default transport to providers: TLS 1.2 or later, and the proxy of the environment. Accounts
// should share one; see [Transport].
func NewTransport() *Transport {
	return &Transport{Transport: &http.Transport{
		Proxy:                  proxy.FromEnvironment,
		OnProxyConnectResponse: proxy.Connected,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    16, // for other users of the transport; a Client keeps no connection
		IdleConnTimeout:        90 * time.Second,
	}}
}

// New returns a client that sends through base, or through a transport of its own if base is nil. agent is its
// User-Agent.
func New(base http.RoundTripper, agent string) Client {
	if base == nil {
		base = NewTransport()
	}
	return Client{
		client: &http.Client{
			Transport:     base,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		agent:   agent,
		traffic: trafficOf(base),
	}
}

// Call is one request to a provider.
type Call struct {
	Method   string                   // empty means POST
	Endpoint string                   // URL
	Field    string                   // its key below endpoints in the config, for messages
	Params   map[string]string        // parameters that are not secret
	Secrets  map[string]secret.String // parameters that are
	Bearer   secret.String            // in the Authorization header; may be empty
	Waited   bool                     // [Client.Wait] has returned for it
}

// Answer is a complete reply.
type Answer struct {
	Status int
	Body   []byte
	HTML   bool
	After  time.Duration // from Retry-After; zero if missing
	At     time.Time     // see [ServerTime]

	clean func(string) string // removes the secrets of the request from a text
	field string              // Call.Field
}

// Kind is what a failed request means for the grant.
type Kind int

// The kinds of failures.
const (
	NotSent   Kind = iota // not sent, or the provider was busy: retrying is harmless
	LostReply             // the reply is lost: the request may have been carried out
	BadClient             // the provider refused the client itself, whatever its grants
	Rejected              // rejected without naming a token, a code or a grant: possibly by a gateway or a failing API
	Refused               // the provider refused the token, the code or the grant by name
)

// Failure is why a request yielded nothing. Its text has no secret.
type Failure struct {
	Kind    Kind
	Why     string
	Advice  string        // what to check in the config; may be empty
	After   time.Duration // delay that the provider asked for
	Status  int           // of the reply; zero without one
	Page    bool          // the reply is a web page
	Object  bool          // the reply is a JSON object
	Ours    bool          // the reply is a JSON error of an API, not one that a gateway sends by itself
	Request bool          // the reply has a code of RFC 6749 about the request itself
	Cause   error         // of the context, if that ended the request
}

// Error returns the reason and the advice.
func (f *Failure) Error() string {
	if f.Advice == "" {
		return f.Why
	}
	return f.Why + ": " + f.Advice
}

// Unwrap returns the error of the context that ended the request, or nil.
func (f *Failure) Unwrap() error { return f.Cause }

// AsFailure returns the failure in err, or nil.
func AsFailure(err error) *Failure {
	f, _ := errors.AsType[*Failure](err)
	return f
}

// Wait waits for the turn of a request to endpoint. It returns at once with an error while the endpoint has asked for a
// delay. The error is a [*Failure] of kind [NotSent].
func (w Client) Wait(ctx context.Context, endpoint string) error {
	return w.traffic.wait(ctx, endpoint)
}

// IssuedAt records that endpoint issued a token at that time.
func (w Client) IssuedAt(endpoint string, at time.Time) { w.traffic.issuedAt(endpoint, at) }

// IssuedSince reports whether endpoint issued a token after since, to any account with the same [Transport].
func (w Client) IssuedSince(endpoint string, since time.Time) bool {
	return w.traffic.issuedSince(endpoint, since)
}

// Send waits for the turn of c, sends it, and reads the reply, whatever its status. The error is a [*Failure].
func (w Client) Send(ctx context.Context, style provider.BodyStyle, c Call) (Answer, error) {
	if !c.Waited {
		if err := w.traffic.wait(ctx, c.Endpoint); err != nil {
			return Answer{}, err
		}
	}
	ans, err := w.sendNow(ctx, style, c)
	if err == nil {
		w.traffic.answered(c.Endpoint, ans, time.Now())
	}
	return ans, err
}

func (w Client) sendNow(ctx context.Context, style provider.BodyStyle, c Call) (Answer, error) {
	ctx, cancel := linger(ctx)
	defer cancel()
	hidden := map[string]secret.String{"": c.Bearer} // no parameter has an empty name
	maps.Copy(hidden, c.Secrets)
	clean := reply.Cleaner(hidden)

	// Without a connection, the request was certainly not sent; with one, it may have arrived. Assume a connection if
	// the transport does not report any.
	var dialling, connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { dialling.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := c.request(ctx, style)
	if err != nil {
		return Answer{}, &Failure{Why: "endpoints." + c.Field + " is not a usable URL"}
	}
	req.Header.Set("Accept", "application/json")
	if !c.Bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.Bearer.Reveal())
	}
	req.Header.Set("User-Agent", w.agent)
	req.Close = true // The next request may be days away, when a kept connection would be dead.

	broken := func(doing string, kind Kind, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return &Failure{Kind: kind, Why: doing + " " + req.URL.Host + ": " + cause.Error(), Cause: ctx.Err()}
		}
		// The text of a url.Error has the whole URL with its query; that of the wrapped error does not.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return &Failure{Kind: kind, Why: doing + " " + req.URL.Host + ": " + reply.OneLine(clean(err.Error()))}
	}
	resp, err := w.client.Do(req)
	if err != nil {
		if dialling.Load() && !connected.Load() {
			return Answer{}, broken("connect to", NotSent, err)
		}
		return Answer{}, broken("no answer from", LostReply, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return Answer{}, broken("answer cut off by", LostReply, err)
	}
	if len(body) > answerLimit {
		return Answer{}, &Failure{Kind: LostReply, Why: "the answer of " + req.URL.Host + " is larger than 1 MiB"}
	}
	at, _ := ServerTime(resp.Header, time.Now())
	return Answer{
		Status: resp.StatusCode,
		Body:   body,
		HTML:   isPage(resp.Header.Get("Content-Type"), body),
		After:  httpheader.RetryAfter(resp.Header, time.Now(), retryAfterMax),
		At:     at,
		clean:  clean,
		field:  c.Field,
	}, nil
}

func (c Call) request(ctx context.Context, style provider.BodyStyle) (*http.Request, error) {
	all := make(map[string]string, len(c.Params)+len(c.Secrets))
	maps.Copy(all, c.Params)
	for k, v := range c.Secrets {
		all[k] = v.Reveal()
	}
	form := url.Values{}
	for k, v := range all {
		form.Set(k, v)
	}
	target, kind, body := c.Endpoint, "application/x-www-form-urlencoded", []byte(form.Encode())
	switch style {
	case provider.JSON:
		var err error
		if body, err = json.Marshal(all); err != nil {
			return nil, err
		}
		kind = "application/json"
	case provider.Query:
		u, err := url.Parse(c.Endpoint)
		if err != nil {
			return nil, err
		}
		query := u.Query()
		for k := range form {
			query.Set(k, form.Get(k))
		}
		u.RawQuery = query.Encode()
		target, body = u.String(), nil
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(c.Method, http.MethodPost), target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	return req, nil
}

// linger returns a context for one request: it has its own deadline, and outlives parent by five seconds.
func linger(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(parent), AnswerWithin,
		fmt.Errorf("no whole answer within %s", AnswerWithin))
	ctx, end := context.WithCancelCause(ctx)
	late := make(chan *time.Timer, 1)
	stop := context.AfterFunc(parent, func() {
		late <- time.AfterFunc(lingerFor, func() { end(context.Cause(parent)) })
	})
	return ctx, func() {
		if !stop() {
			(<-late).Stop()
		}
		end(nil)
		cancel()
	}
}
