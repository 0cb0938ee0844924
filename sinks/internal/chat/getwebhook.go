package chat

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/treatrelay/relay/sinks/internal/outbound"
	"github.com/treatrelay/relay/sinks/internal/outcome"
)

// GetWebhook requests the webhook itself, which posts nothing. It passes the response to read unless it is a refusal.
func (s *Sink) GetWebhook(ctx context.Context, read func(Answer) error) error {
	explain := func(err error) error {
		return fmt.Errorf("ask %s for the webhook: %w", s.shown, outcome.Redact(err, s.hidden))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return explain(outbound.UnwrapURL(err))
	}
	req.Header.Set("User-Agent", s.env.UserAgent)
	resp, err := s.client.Do(req)
	if err != nil {
		return explain(outbound.RootCause(outcome.Cause(ctx, outbound.UnwrapURL(err))))
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, outbound.MaxAnswerBody))
	if err != nil {
		return explain(outbound.RootCause(outcome.Cause(ctx, err)))
	}
	got := Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, said: s.Brief(string(body))}
	if err := s.service.Judge(got); err != nil {
		return explain(err)
	}
	if err := read(got); err != nil {
		return explain(err)
	}
	return nil
}

// Brief returns the beginning of a text of the service on one line, without secrets.
func (s *Sink) Brief(text string) string {
	return outbound.Shorten(outbound.Printable([]byte(text), s.hidden))
}
