package webhook

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/httpheader"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// answer is the response of a receiver.
type answer struct {
	status int // 0 means no response
	header http.Header
	text   string // the beginning of the body, printable, on one line and without secrets
}

// readAnswer reads the response up to its limits. An error in the body does not matter, because the status decides.
// relay accepts no content encoding, but some servers compress anyway.
func readAnswer(resp *http.Response, hidden []secret.String) answer {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, outbound.MaxAnswerBody)) // to the end, so that the connection can be reused
	_ = resp.Body.Close()
	switch strings.ToLower(resp.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		packed := body
		body = nil
		if unpacker, err := gzip.NewReader(bytes.NewReader(packed)); err == nil {
			body, _ = io.ReadAll(io.LimitReader(unpacker, outbound.MaxAnswerBody))
		}
	default:
		body = nil
	}
	return answer{resp.StatusCode, resp.Header, outbound.Printable(body, hidden)}
}

// shown returns the beginning of the response, for an error.
func (a answer) shown() string {
	if a.text == "" {
		return ""
	}
	return ": the receiver says: " + outbound.Shorten(a.text)
}

// judge converts a response to the error that steers the lane. Its text is for the operator.
func (a answer) judge() error {
	err := fmt.Errorf("status %d%s", a.status, a.shown())
	switch status := a.status; {
	case status/100 == 2:
		return nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return a.wait(pipeline.Unavailable(err)) // it accepts nothing from anybody at the moment
	case status == http.StatusProxyAuthRequired:
		return pipeline.Unavailable(outbound.ErrProxyLogin)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status/100 == 5:
		return a.wait(err)
	case status == http.StatusGone:
		return pipeline.Gone(fmt.Errorf("status %d: the receiver is gone for good, take the sink out or set another url", status))
	}
	return a.refusal()
}

// refusal returns the error of a response that a retry will not change, with its likely cause. Some statuses depend on
// the event; others mean that the receiver accepts no request of this form.
func (a answer) refusal() error {
	code := strconv.Itoa(a.status)
	if likely := likelyCause(a.status); likely != "" {
		return pipeline.WithRefusalCode(code, pipeline.Denied(fmt.Errorf("status %d: %s%s", a.status, likely, a.shown())))
	}
	return pipeline.WithRefusalCode(code, pipeline.Permanent(fmt.Errorf("status %d%s", a.status, a.shown())))
}

// likelyCause returns why a receiver probably refuses everything with this status, or an empty string if the status is
// more likely about the event.
func likelyCause(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "the receiver refuses the signature: check secret"
	case http.StatusPaymentRequired:
		return "the receiver wants to be paid: check its plan"
	case http.StatusForbidden:
		return "the receiver, or a proxy or firewall before it, refuses relay: check url, secret and headers"
	case http.StatusNotFound:
		return "there is no receiver at this address: check url, and whether it is running"
	case http.StatusMethodNotAllowed:
		return "the receiver does not take this method: check url and method"
	case http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		return "the receiver does not take this content type: check body and headers"
	case http.StatusLengthRequired, http.StatusExpectationFailed, http.StatusUpgradeRequired, http.StatusRequestHeaderFieldsTooLarge:
		return "the receiver does not take requests of this form: check headers and what stands before it"
	case http.StatusMisdirectedRequest:
		return "the server does not answer for this host name: check url and the proxy before it"
	case http.StatusLocked:
		return "the receiver is locked: unlock it"
	case http.StatusUnavailableForLegalReasons:
		return "the receiver is blocked for legal reasons: set another url"
	}
	if status/100 == 3 {
		return "redirects are not followed, set url to the address it points to"
	}
	return ""
}

// wait adds the Retry-After of the response to an error.
func (a answer) wait(err error) error {
	if after := httpheader.RetryAfter(a.header, time.Now(), outbound.MaxRetryAfter); after > 0 {
		return pipeline.RetryAfter(after, err)
	}
	return err
}
