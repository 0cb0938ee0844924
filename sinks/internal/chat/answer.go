package chat

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/treatrelay/relay/internal/httpheader"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// Answer is a response of a service.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	said   string // the beginning of the body on one line, without secrets
}

// Refusal returns the response as an error.
func (a Answer) Refusal() error {
	if a.said == "" {
		return fmt.Errorf("status %d", a.Status)
	}
	return fmt.Errorf("status %d: the answer says: %s", a.Status, a.said)
}

// JudgeStatus returns the errors that all services share. hint says what to do if the webhook is gone.
func JudgeStatus(got Answer, hint string) error {
	err := got.Refusal()
	switch status := got.Status; {
	case status/100 == 2:
		return nil
	case status == http.StatusGone:
		return pipeline.Gone(fmt.Errorf("%w; %s", err, hint))
	case status == http.StatusForbidden:
		return pipeline.RetryAfter(forbiddenPause, pipeline.Unavailable(err))
	case status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge || status == http.StatusUnprocessableEntity:
		return pipeline.Permanent(err)
	case status/100 == 3:
		return pipeline.Unavailable(fmt.Errorf("status %d: redirects are not followed, set url to the webhook itself", status))
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status/100 == 5 && status != http.StatusServiceUnavailable:
		// The service may have failed because of this message.
	default:
		err = pipeline.Unavailable(err)
	}
	if after := httpheader.RetryAfter(got.Header, time.Now(), outbound.MaxRetryAfter); after > 0 {
		return pipeline.RetryAfter(after, err)
	}
	return err
}

// ErrThreadEnded means that the thread relay opened accepts no more messages. The next message opens another.
var ErrThreadEnded = errors.New("the thread has ended, relay opens another")

// SinkRefusal returns a refusal that does not depend on the event.
func SinkRefusal(got Answer, code string, err error) error {
	err = pipeline.WithRefusalCode(code, pipeline.Unavailable(err))
	if got.Status == http.StatusForbidden {
		return pipeline.RetryAfter(forbiddenPause, err)
	}
	return err
}
