package auth

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
	"strings"
	"sync/atomic"
	"time"

	"github.com/treatrelay/relay/internal/proxy"
	"github.com/treatrelay/relay/internal/secret"
)

const (
	answerWithin = 30 * time.Second // from dialling to the last byte of the body
	answerLimit  = 1 << 20          // bytes of body
	// lingerFor is how long a request goes on after its caller gave up: an answer that nobody reads can cost the grant.
	lingerFor     = 5 * time.Second
	retryAfterMax = 24 * time.Hour
)

// wire sends token requests: one at a time per connection, no redirects (a 307 would hand the client secret on), no
// cookies, a bounded body and a deadline.
type wire struct {
	client  *http.Client
	agent   string
	traffic *traffic
}

// NewTransport makes what requests to providers go through when [Options] name nothing else: TLS 1.2 or later, and the proxy of the
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
		MaxIdleConnsPerHost:    16, // of many accounts at one provider
		IdleConnTimeout:        90 * time.Second,
	}}
}

func newWire(base http.RoundTripper, agent string) wire {
	if base == nil {
		base = NewTransport()
	}
	return wire{
		client: &http.Client{
			Transport:     base,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		agent:   agent,
		traffic: trafficOf(base),
	}
}

// call is one request to a provider.
type call struct {
	method   string                   // POST when empty
	endpoint string                   // URL
	field    string                   // the config field that holds it, for messages
	params   map[string]string        // what may be shown
	secrets  map[string]secret.String // what may not
	bearer   secret.String            // in the Authorization header; may be empty
	waited   bool                     // its turn has come: see traffic.wait
}

// answer is what came back, whole.
type answer struct {
	status int
	body   []byte
	html   bool
	after  time.Duration       // Retry-After, zero when not said
	clean  func(string) string // takes the secrets of the request out of a text
	field  string              // of the call
	at     time.Time           // see [ServerTime]
}

// What a failed request means for the grant.
type failureKind int

const (
	notSent   failureKind = iota // it never left, or the provider said "not now": trying again is harmless
	lostReply                    // it may have been carried out
	badClient                    // the provider refused the client itself, whatever its grants
	rejected                     // turned away in words that name nothing of ours: by a gateway, or an API in trouble, as far as anybody knows
	refused                      // the provider refused the token, the code or the grant, and says so
)

// failure is why a request brought nothing. Its text holds no secret.
type failure struct {
	kind    failureKind
	why     string
	after   time.Duration // the provider asked to wait
	status  int           // of the answer; zero without one
	page    bool          // the answer is a web page
	object  bool          // the answer is a JSON object
	ours    bool          // the answer is an error of an API, a JSON object, and not one that a gateway gives by itself
	request bool          // it is a code of RFC 6749 about how the client asks
	cause   error         // of the context, when that ended it
}

func (f *failure) Error() string { return f.why }
func (f *failure) Unwrap() error { return f.cause }

// send sends c when its turn has come, and reads the answer of whatever status. Its error is a *failure.
func (w wire) send(ctx context.Context, style BodyStyle, c call) (answer, error) {
	if !c.waited {
		if err := w.traffic.wait(ctx, c.endpoint); err != nil {
			return answer{}, err
		}
	}
	ans, err := w.sendNow(ctx, style, c)
	if err == nil {
		w.traffic.answered(c.endpoint, ans, time.Now())
	}
	return ans, err
}

func (w wire) sendNow(ctx context.Context, style BodyStyle, c call) (answer, error) {
	ctx, cancel := linger(ctx)
	defer cancel()
	hidden := map[string]secret.String{"": c.bearer} // Params have names.
	maps.Copy(hidden, c.secrets)
	clean := cleaner(hidden)

	// Whether a connection was made tells a request that certainly never left from one that may have arrived. A
	// transport that does not say is taken to have made one.
	var dialling, connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { dialling.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	req, err := c.request(ctx, style)
	if err != nil {
		return answer{}, &failure{why: "endpoints." + c.field + " is not a usable URL"}
	}
	req.Header.Set("Accept", "application/json")
	if !c.bearer.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.bearer.Reveal())
	}
	req.Header.Set("User-Agent", w.agent)
	req.Close = true // One request in days: a kept connection would only be found dead at the next.

	broken := func(doing string, kind failureKind, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return &failure{kind: kind, why: doing + " " + req.URL.Host + ": " + cause.Error(), cause: ctx.Err()}
		}
		// A url.Error prints the whole URL, query and all; what it wraps does not.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err
		}
		return &failure{kind: kind, why: doing + " " + req.URL.Host + ": " + oneLine(clean(err.Error()))}
	}
	resp, err := w.client.Do(req)
	if err != nil {
		if dialling.Load() && !connected.Load() {
			return answer{}, broken("connect to", notSent, err)
		}
		return answer{}, broken("no answer from", lostReply, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return answer{}, broken("answer cut off by", lostReply, err)
	}
	if len(body) > answerLimit {
		return answer{}, &failure{kind: lostReply, why: "the answer of " + req.URL.Host + " is larger than 1 MiB"}
	}
	at, _ := ServerTime(resp.Header, time.Now())
	return answer{
		status: resp.StatusCode,
		body:   body,
		html:   isPage(resp.Header.Get("Content-Type"), body),
		after:  retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		clean:  clean,
		field:  c.field,
		at:     at,
	}, nil
}

func (c call) request(ctx context.Context, style BodyStyle) (*http.Request, error) {
	all := make(map[string]string, len(c.params)+len(c.secrets))
	maps.Copy(all, c.params)
	for k, v := range c.secrets {
		all[k] = v.Reveal()
	}
	form := url.Values{}
	for k, v := range all {
		form.Set(k, v)
	}
	target, kind, body := c.endpoint, "application/x-www-form-urlencoded", []byte(form.Encode())
	switch style {
	case JSON:
		var err error
		if body, err = json.Marshal(all); err != nil {
			return nil, err
		}
		kind = "application/json"
	case Query:
		u, err := url.Parse(c.endpoint)
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
	req, err := http.NewRequestWithContext(ctx, cmp.Or(c.method, http.MethodPost), target, bytes.NewReader(body))
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
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(parent), answerWithin,
		fmt.Errorf("no whole answer within %s", answerWithin))
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

// cleaner gives a function that takes every one of the secrets out of a text, in plain, URL-escaped and JSON-escaped form.
func cleaner(secrets map[string]secret.String) func(string) string {
	var forms []secret.String
	for _, s := range secrets {
		text := s.Reveal()
		quoted, _ := json.Marshal(text) //nolint:errchkjson // A string cannot fail to encode.
		forms = append(forms, s, secret.New(url.QueryEscape(text)), secret.New(url.PathEscape(text)),
			secret.New(strings.Trim(string(quoted), `"`)))
	}
	return func(text string) string { return secret.Scrub(text, forms...) }
}
