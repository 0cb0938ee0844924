package chat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// DefaultTimeout bounds one request of a discord or slack sink.
const DefaultTimeout = 15 * time.Second

const (
	// forbiddenPause is the minimum pause after a 403. Discord bans an address that gets 10,000 of them in ten minutes.
	forbiddenPause = 10 * time.Minute
	// maxPause is the longest pause within a delivery. Longer ones are left to the lane.
	maxPause = 30 * time.Second
)

// A Service is what differs between chat services. One goroutine calls its methods at a time.
type Service interface {
	// Compose creates one message from as many records as fit, from the front, and returns their number. An error is
	// about the first record.
	Compose(records []pipeline.Record) (body []byte, n int, err error)
	// Address returns where to send the next message, given the URL of the webhook.
	Address(webhook string) string
	// Judge returns nil if the message was accepted, else an error marked as [pipeline.Sink] defines. If it wraps
	// ErrThreadEnded, the message is composed and sent again at once.
	Judge(got Answer) error
	// Pace returns how long to wait before the next request. It is called once per request, with status 0 if there was
	// no response.
	Pace(got Answer) time.Duration
}

// Env has the dependencies of a chat sink on the process it runs in.
type Env struct {
	Attempt   outcome.AttemptLog
	UserAgent string // sent with every request
	Log       zerolog.Logger
	Dial      outbound.DialFunc // for tests; nil means the guarded one
}

// Sink posts messages to an incoming webhook of a chat service. It sends one request at a time, because each response
// announces the rate limit of the whole webhook. It is safe for concurrent use.
type Sink struct {
	service Service
	url     string
	shown   string // the url without path and query, which have the token
	timeout time.Duration
	client  *http.Client
	env     Env
	hidden  []secret.String

	turn  chan struct{} // held by the delivery that may send; guards all fields below except gone.count
	pause pause
	alone map[string]bool // accounts whose last message failed: send one record at a time, to find the one to blame
	doubt bool            // a single record was refused and none accepted since: send one at a time
	gone  verdict
}

// pause is a time in which nothing is sent.
type pause struct {
	until time.Time // by the monotonic clock
	why   error     // the response that asked for it; nil if the rate limit requires it
}

// verdict is the last refusal that says the webhook no longer exists.
type verdict struct {
	last  error        // guarded by the turn
	count atomic.Int64 // of all such refusals
}

// New returns a sink that posts to the webhook at u. No log, error or attempt shows a part of the URL that could be a
// token.
func New(u *url.URL, timeout time.Duration, env Env, service Service) *Sink {
	hidden := []string{u.String(), u.RequestURI(), u.EscapedPath()}
	for _, parts := range []string{u.EscapedPath(), u.Path} {
		for part := range strings.SplitSeq(parts, "/") {
			if len(part) >= 9 && part != "webhooks" { // the shortest Slack ID has 9 characters
				hidden = append(hidden, part)
			}
		}
	}
	// The longest first: redacting a part first would leave the rest of the whole.
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
	route := outbound.DirectRoute(u)
	route.Dial = env.Dial
	c := &Sink{
		service: service, url: u.String(), shown: u.Scheme + "://" + u.Host, timeout: timeout, env: env,
		turn: make(chan struct{}, 1), alone: make(map[string]bool),
		client: route.Client(env.Log),
	}
	for _, text := range slices.Compact(hidden) {
		c.hidden = append(c.hidden, secret.New(text))
	}
	return c
}

// Deliver implements [pipeline.Sink]. It puts as many records into one message as the service accepts.
func (s *Sink) Deliver(ctx context.Context, records []pipeline.Record) (int, error) {
	if len(records) == 0 {
		return 0, nil
	}
	ends := s.gone.count.Load()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.gone.count.Load() != ends { // found out while this delivery waited
		return 0, s.gone.last
	}
	account := records[0].Account
	if s.alone[account] || s.doubt {
		records = records[:1]
	}
	for {
		body, n, err := s.service.Compose(records)
		if err != nil {
			return 0, pipeline.Permanent(s.explain(records[:1], err))
		}
		if err := s.wait(ctx); err != nil {
			return 0, err
		}
		err = s.send(ctx, records[:n], body)
		_, asked := pipeline.RetryDelay(err)
		switch {
		case err == nil:
			delete(s.alone, account)
			s.doubt = false
			return n, nil
		case errors.Is(err, ErrThreadEnded):
			continue
		case pipeline.IsGone(err):
			s.gone.last = err
			s.gone.count.Add(1)
		case pipeline.IsPermanent(err) && n > 1: // nothing was posted, so try a part at once
			records = records[:n/2]
			continue
		case pipeline.IsPermanent(err):
			s.doubt = true
		case !asked:
			s.alone[account] = true
		}
		return 0, err
	}
}

// wait waits until the service allows the next request.
func (s *Sink) wait(ctx context.Context) error {
	pause := time.Until(s.pause.until)
	switch {
	case pause <= 0:
		return nil
	case pause > maxPause:
		err := s.pause.why
		if err == nil {
			err = fmt.Errorf("post to %s: the rate limit is used up for %v", s.shown, pause.Round(time.Second))
		}
		return pipeline.RetryAfter(pause, pipeline.Unavailable(err))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send sends one request, logs the attempt, and returns its result for the records.
func (s *Sink) send(ctx context.Context, records []pipeline.Record, body []byte) error {
	begin := time.Now()
	got, err := s.post(ctx, body)
	attempt := pipeline.Attempt{Time: begin, Endpoint: s.shown, Status: got.Status, Latency: time.Since(begin)}
	attempt.Covers(records...)
	if err == nil {
		attempt.Answer = outbound.Printable(got.Body, s.hidden)
		got.said = outbound.Shorten(attempt.Answer)
		err = s.service.Judge(got)
	}
	pause := s.service.Pace(got)
	if after, ok := pipeline.RetryDelay(err); ok {
		pause = max(pause, after)
	}
	if err != nil {
		err = s.explain(records, err)
		attempt.Error = err.Error()
	}
	s.pause.until, s.pause.why = time.Now().Add(pause), err
	s.env.Attempt.Add(attempt)
	return err
}

// post sends one message. The status decides, even if the rest of the response does not arrive in time.
func (s *Sink) post(ctx context.Context, body []byte) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no complete answer within %v", s.timeout))
	defer cancel()
	var t outbound.Trace
	req, err := http.NewRequestWithContext(t.Follow(ctx), http.MethodPost, s.service.Address(s.url), bytes.NewReader(body))
	if err != nil {
		return Answer{}, pipeline.Unavailable(outbound.UnwrapURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.env.UserAgent)
	resp, err := s.client.Do(req)
	if err != nil {
		if status := t.Status(); status != 0 {
			return Answer{Status: status}, nil // the rest of the response cannot be read
		}
		return Answer{}, t.Mark(outcome.Cause(ctx, outbound.UnwrapURL(err)))
	}
	t.Answered(resp)
	// Read to the end, so that the connection can be reused. An error in the body does not matter.
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, outbound.MaxAnswerBody))
	_ = resp.Body.Close()
	if resp.Header.Get("Content-Encoding") != "" {
		answer = nil // relay did not ask for compression
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: answer}, nil
}

// explain adds the events and the host to err, and removes secrets. The marks of err stay.
func (s *Sink) explain(records []pipeline.Record, err error) error {
	what := "event " + records[0].ID
	if len(records) > 1 {
		what = fmt.Sprintf("%d events from %s on", len(records), records[0].ID)
	}
	return fmt.Errorf("post %s to %s: %w", what, s.shown, outcome.Redact(err, s.hidden))
}

// Close implements [pipeline.Sink]. It closes idle connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
