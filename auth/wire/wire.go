// Package wire sends requests about tokens to providers, and says what an answer without a token means for the grant. Accounts
// that share a [Transport] share the pace of their requests, and what providers asked for.
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

// AnswerWithin is how long a request takes at most, from dialling to the last byte of the answer.
const AnswerWithin = 30 * time.Second

const (
	answerLimit = 1 << 20 // bytes of body
	// lingerFor is how long a request goes on after its caller gave up: an answer that nobody reads can cost the grant.
	lingerFor     = 5 * time.Second
	retryAfterMax = 24 * time.Hour
)

// Client sends token requests: each on a connection of its own, no redirects (a 307 would hand the client secret on), no
// cookies, a bounded body and a deadline.
type Client struct {
	client  *http.Client
	agent   string
	traffic *traffic
}

// NewTransport makes what requests to providers go through when nothing else is named: TLS 1.2 or later, and the proxy of the
// environment. Accounts that share one share more than connections: see [Transport].
func NewTransport() *Transport {
	return &Transport{Transport: &http.Transport{
		Proxy:                  proxy.FromEnvironment,
		OnProxyConnectResponse: proxy.Connected,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    16, // For who else sends through it; a [Client] keeps no connection.
		IdleConnTimeout:        90 * time.Second,
	}}
}

// New makes a client whose requests go through base, or through a transport of its own if that is nil. agent is its User-Agent.
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
	Method   string                   // POST when empty
	Endpoint string                   // URL
	Field    string                   // the config field that holds it, for messages
	Params   map[string]string        // what may be shown
	Secrets  map[string]secret.String // what may not
	Bearer   secret.String            // in the Authorization header; may be empty
	Waited   bool                     // its turn has come: see [Client.Wait]
}

// Answer is what came back, whole.
type Answer struct {
	Status int
	Body   []byte
	HTML   bool
	After  time.Duration // Retry-After, zero when not said
	At     time.Time     // see [ServerTime]

	clean func(string) string // takes the secrets of the request out of a text
	field string              // of the call
}

// Kind is what a failed request means for the grant.
type Kind int

// The kinds of failures.
const (
	NotSent   Kind = iota // it never left, or the provider said "not now": trying again is harmless
	LostReply             // it may have been carried out
	BadClient             // the provider refused the client itself, whatever its grants
	Rejected              // turned away in words that name nothing of ours: by a gateway, or an API in trouble, as far as anybody knows
	Refused               // the provider refused the token, the code or the grant, and says so
)

// Failure is why a request brought nothing. Its text holds no secret.
type Failure struct {
	Kind    Kind
	Why     string
	Advice  string        // what to check in the config, if that is what the answer comes to
	After   time.Duration // the provider asked to wait
	Status  int           // of the answer; zero without one
	Page    bool          // the answer is a web page
	Object  bool          // the answer is a JSON object
	Ours    bool          // the answer is an error of an API, a JSON object, and not one that a gateway gives by itself
	Request bool          // it is a code of RFC 6749 about how the client asks
	Cause   error         // of the context, when that ended it
}

// Error implements error: why, and the advice.
func (f *Failure) Error() string {
	if f.Advice == "" {
		return f.Why
	}
	return f.Why + ": " + f.Advice
}

// Unwrap gives the end of the context that ended the request, if one did.
func (f *Failure) Unwrap() error { return f.Cause }

// AsFailure gives the failure in err, nil when there is none.
func AsFailure(err error) *Failure {
	f, _ := errors.AsType[*Failure](err)
	return f
}

// Wait waits for the turn of a request to endpoint. It returns at once, with an error, while the endpoint wants to be left alone.
// The error is a [*Failure] of the kind [NotSent].
func (w Client) Wait(ctx context.Context, endpoint string) error {
	return w.traffic.wait(ctx, endpoint)
}

// Gave records that endpoint gave a token at that time.
func (w Client) Gave(endpoint string, at time.Time) { w.traffic.gave(endpoint, at) }

// GaveSince reports whether endpoint gave a token after the given moment, to any account with the same [Transport].
func (w Client) GaveSince(endpoint string, since time.Time) bool {
	return w.traffic.gaveSince(endpoint, since)
}

// Send sends c when its turn has come, and reads the answer of whatever status. Its error is a [*Failure].
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
	hidden := map[string]secret.String{"": c.Bearer} // Params have names.
	maps.Copy(hidden, c.Secrets)
	clean := reply.Cleaner(hidden)

	// Whether a connection was made tells a request that certainly never left from one that may have arrived. A
	// transport that does not say is taken to have made one.
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
	req.Close = true // The next request may be days away: a kept connection would only be found dead then.

	broken := func(doing string, kind Kind, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return &Failure{Kind: kind, Why: doing + " " + req.URL.Host + ": " + cause.Error(), Cause: ctx.Err()}
		}
		// A url.Error prints the whole URL, query and all; what it wraps does not.
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

// linger gives a context for one request: its own deadline, and an end five seconds after that of parent.
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
