package webhook

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/outcome"
	"github.com/treatrelay/relay/sinks/webhook/internal/body"
)

// The content types of requests: of an event in structured mode (CloudEvents 1.0, HTTP protocol binding, section 3.2), and
// of the output of a template.
const (
	eventContentType = "application/cloudevents+json; charset=utf-8"
	defaultBodyType  = "application/json"
)

type sink struct {
	method  string
	url     string
	shown   string // the url without its path and query, which may have a token
	header  http.Header
	body    *body.Template // nil: the event itself
	content string         // the content type, if it is not the default
	bearer  *bearer        // nil without an account
	keys    *keyring
	timeout time.Duration
	client  *http.Client
	hidden  []secret.String
	attempt outcome.AttemptLog
}

// Deliver implements [pipeline.Sink]. It sends the first record.
func (w *sink) Deliver(ctx context.Context, records []pipeline.Record) (int, error) {
	if len(records) == 0 {
		return 0, nil
	}
	if err := w.post(ctx, records[0]); err != nil {
		return 0, err
	}
	return 1, nil
}

// post sends one event.
func (w *sink) post(ctx context.Context, r pipeline.Record) error {
	bounded, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("no complete answer within %v", w.timeout))
	defer cancel()
	err := w.exchange(bounded, r)
	if ctx.Err() != nil && pipeline.IsUnavailable(err) {
		err = context.Cause(ctx) // The caller gave up, which says nothing about the receiver.
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s event %s to %s: %w", strings.ToLower(w.method), r.ID, w.shown, outcome.Redact(err, w.secrets()))
}

// exchange sends one request, and a second one if the receiver refuses the access token of the account. The event is
// not to blame for a login problem, so it waits until somebody fixes that.
func (w *sink) exchange(ctx context.Context, r pipeline.Record) error {
	if w.bearer == nil {
		_, err := w.try(ctx, r, secret.String{})
		return err
	}
	login, err := w.bearer.current(ctx)
	if err != nil {
		return pipeline.Unavailable(err)
	}
	status, err := w.try(ctx, r, login.token)
	if status != http.StatusUnauthorized {
		return err
	}
	if login, err = w.bearer.newer(ctx, login); err != nil {
		return pipeline.Unavailable(err)
	}
	status, err = w.try(ctx, r, login.token)
	if status == http.StatusUnauthorized {
		w.bearer.hopeless.Store(login.generation)
		return pipeline.Unavailable(errHopeless)
	}
	return err
}

// try sends one request and logs the attempt. It returns the status, or 0 without a response, and the resulting error.
func (w *sink) try(ctx context.Context, r pipeline.Record, token secret.String) (int, error) {
	begin := time.Now()
	got, err := w.send(ctx, r, token)
	if err == nil {
		err = got.judge()
	}
	a := pipeline.Attempt{
		Time: begin, Endpoint: w.shown, Status: got.status, Latency: time.Since(begin), Answer: got.text,
	}
	a.Covers(r)
	if err != nil {
		a.Error = outcome.Redact(err, w.secrets()).Error()
	}
	w.attempt.Add(a)
	return got.status, err
}

// send sends one request and reads the response. Its errors are marked for the lane.
func (w *sink) send(ctx context.Context, r pipeline.Record, token secret.String) (answer, error) {
	req, err := w.request(ctx, r)
	if err != nil {
		return answer{}, pipeline.Permanent(err)
	}
	hidden := w.secrets()
	if !token.Empty() {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
		hidden = append([]secret.String{token}, hidden...)
	}
	var t outbound.Trace
	resp, err := w.client.Do(req.WithContext(t.Follow(ctx)))
	if err == nil {
		t.Answered(resp)
		return readAnswer(resp, hidden), nil
	}
	if status := t.Status(); status != 0 {
		return answer{status: status}, nil // the rest of the response cannot be read
	}
	return answer{}, t.Mark(outbound.Advise(outcome.Cause(ctx, outbound.UnwrapURL(err))))
}

func (w *sink) request(ctx context.Context, r pipeline.Record) (*http.Request, error) {
	body, content := r.Line, cmp.Or(w.content, eventContentType)
	switch {
	case w.body == nil:
	case r.Type == pipeline.AlertType, r.Type == pipeline.DigestType: // templates are for treats
		content = eventContentType
	default:
		var err error
		if body, err = w.body.Make(r.Line); err != nil {
			return nil, fmt.Errorf("make the body: %w", err)
		}
		content = cmp.Or(w.content, defaultBodyType)
	}
	req, err := http.NewRequestWithContext(ctx, w.method, w.url, bytes.NewReader(body))
	if err != nil {
		return nil, outbound.UnwrapURL(err)
	}
	now := time.Now()
	signers, _ := w.keys.current(now)
	var signatures []string
	for _, s := range signers {
		signature, err := s.Sign(r.ID, now, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	req.Header = w.header.Clone()
	req.Header.Set("Content-Type", content)
	req.Header.Set(standardwebhooks.HeaderWebhookID, r.ID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	// Not sent. It allows the transport to repeat the request if a kept connection turns out to be closed.
	req.Header["Idempotency-Key"] = []string{}
	return req, nil
}

// secrets returns all secrets to redact, because a receiver may send back what it received.
func (w *sink) secrets() []secret.String {
	_, all := w.keys.current(time.Now())
	for _, s := range slices.Clone(all) {
		_, encoded, _ := strings.Cut(s.Reveal(), "_")
		all = append(all, secret.New(encoded))
	}
	return append(all, w.hidden...)
}

// Close implements [pipeline.Sink]. It closes idle connections.
func (w *sink) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
