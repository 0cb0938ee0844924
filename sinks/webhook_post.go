package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// webhookContentType is that of an event in structured mode (CloudEvents 1.0, HTTP protocol binding, section 3.2).
const webhookContentType = "application/cloudevents+json; charset=utf-8"

// What is taken of an answer.
const (
	maxAnswerHeader = 64 << 10
	maxAnswerBody   = 64 << 10
	maxAnswerShown  = 200 // characters of a refusal that go into its error
	maxRetryAfter   = 24 * time.Hour
)

type webhook struct {
	url     string
	shown   string // the url without its path and query, which may hold a token
	header  http.Header
	bearer  *bearer // nil: no account
	signers []*standardwebhooks.Webhook
	timeout time.Duration
	client  *http.Client
	hidden  []secret.String
}

// newTransport makes a transport of the sink's own, without a proxy and without decompression: what is not unpacked
// cannot swell.
func newTransport(config *tls.Config) *http.Transport {
	dialer := &net.Dialer{KeepAlive: 30 * time.Second} // Its Control is the place for rules on addresses.
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64, // One for each account that delivers at the same time.
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
		// Finds out that a kept HTTP/2 connection is dead.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// Deliver implements [pipeline.Sink]. It sends the first record.
func (w *webhook) Deliver(ctx context.Context, records []pipeline.Record) (int, error) {
	if len(records) == 0 {
		return 0, nil
	}
	if err := w.post(ctx, records[0]); err != nil {
		return 0, err
	}
	return 1, nil
}

// post sends one event. The status decides, even when the rest of the answer does not come in time.
func (w *webhook) post(ctx context.Context, r pipeline.Record) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("no complete answer within %v", w.timeout))
	defer cancel()
	if w.bearer == nil {
		got, err := w.send(ctx, r, secret.String{})
		if err != nil {
			return err
		}
		return w.judge(r, got)
	}
	// What is wrong with the login is not the event's fault: it waits until somebody has mended it.
	login, err := w.bearer.current(ctx)
	if err != nil {
		return w.explain(r, err)
	}
	got, err := w.send(ctx, r, login.token)
	if err == nil && got.status == http.StatusUnauthorized {
		if login, err = w.bearer.newer(ctx, login); err != nil {
			return w.explain(r, err)
		}
		if got, err = w.send(ctx, r, login.token); err == nil && got.status == http.StatusUnauthorized {
			w.bearer.hopeless.Store(login.generation)
			return w.explain(r, errHopeless)
		}
	}
	if err != nil {
		return err
	}
	got.body = bytes.ReplaceAll(got.body, []byte(login.token.Reveal()), []byte(secret.Redacted))
	return w.judge(r, got)
}

// answer is what a receiver said, with the beginning of the body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request.
func (w *webhook) send(ctx context.Context, r pipeline.Record, token secret.String) (answer, error) {
	req, err := w.request(ctx, r)
	if err != nil {
		return answer{}, pipeline.Permanent(w.explain(r, err))
	}
	if !token.Empty() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{}, w.explain(r, cause(ctx, unwrapURL(err)))
	}
	// Reading to the end keeps the connection for the next event. What goes wrong with it does not matter.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBody))
	_ = resp.Body.Close()
	return answer{resp.StatusCode, resp.Header, body}, nil
}

func (w *webhook) request(ctx context.Context, r pipeline.Record) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(r.Line))
	if err != nil {
		return nil, unwrapURL(err)
	}
	now := time.Now()
	var signatures []string
	for _, s := range w.signers {
		signature, err := s.Sign(r.ID, now, r.Line)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	req.Header = w.header.Clone()
	req.Header.Set("Content-Type", webhookContentType)
	req.Header.Set(standardwebhooks.HeaderWebhookID, r.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	// Not sent; tells the transport that it may repeat the request when a kept connection turns out to be closed.
	req.Header["Idempotency-Key"] = []string{}
	return req, nil
}

// judge turns an answer into the error that steers the lane.
func (w *webhook) judge(r pipeline.Record, got answer) error {
	status := got.status
	err := fmt.Errorf("status %d%s", status, w.show(got))
	switch {
	case status/100 == 2:
		return nil
	case status/100 == 3:
		err = fmt.Errorf("status %d: redirects are not followed, set url to the address it points to", status)
		return pipeline.Permanent(w.explain(r, err))
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests,
		status/100 == 5:
		err = w.explain(r, err)
		if after := retryAfter(got.header.Get("Retry-After"), time.Now()); after > 0 {
			return pipeline.RetryAfter(after, err)
		}
		return err
	case status == http.StatusGone:
		err = fmt.Errorf("status %d: the receiver is gone for good, take the sink out or set another url", status)
	}
	return pipeline.Permanent(w.explain(r, err))
}

// show returns the beginning of an answer for an error, on one line and without the sink's secrets.
func (w *webhook) show(got answer) string {
	if len(got.body) == 0 || got.header.Get("Content-Encoding") != "" {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, string(got.body))
	text = secret.Scrub(strings.Join(strings.Fields(text), " "), w.hidden...)
	if text == "" {
		return ""
	}
	if runes := []rune(text); len(runes) > maxAnswerShown {
		text = string(runes[:maxAnswerShown]) + "..."
	}
	return ": the receiver says: " + text
}

func (w *webhook) explain(r pipeline.Record, err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("%w: if its certificate is your own, set tls_ca_file", err)
	}
	return fmt.Errorf("post event %s to %s: %w", r.ID, w.shown, redact(err, w.hidden))
}

// unwrapURL takes off the wrapper that would show the whole URL.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// retryAfter reads a Retry-After header, in seconds or as a date (RFC 9110, section 10.2.3). It is at most a day, and
// zero when the header is missing, past or unreadable.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}

// Close implements [pipeline.Sink]. It closes the kept connections.
func (w *webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
