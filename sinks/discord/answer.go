package discord

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treatrelay/relay/internal/httpheader"
	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
	"github.com/treatrelay/relay/sinks/internal/outbound"
)

// resetMargin is added to the reset time of a rate limit bucket, which Discord rounds to milliseconds.
const resetMargin = 10 * time.Millisecond

// Error codes that determine the outcome ("JSON Error Codes").
const (
	codeUnknownChannel = 10003
	codeUnknownWebhook = 10015
	codeInvalidToken   = 50027
	codeInvalidForm    = 50035
	codeArchived       = 50083
	codeLocked         = 160005
)

// advice returns the fix for error codes that the channel or the configuration causes, whatever the message is; an
// empty string for any other code.
func advice(code int) string {
	switch code {
	case 220001:
		return "the webhook belongs to a forum channel: set thread_name to begin a post there, or thread_id to go on with one"
	case 220002:
		return "thread_name and thread_id exclude each other: keep one of the two, and none in the URL"
	case 220003:
		return "the webhook's channel is no forum: leave thread_name out"
	case codeArchived:
		return "the thread is archived: open it again in Discord, or set another thread_id"
	case codeLocked:
		return "the thread is locked: unlock it in Discord, or set another thread_id"
	case 160006:
		return "the server has as many open threads as Discord allows: close some"
	case 40067:
		return "the forum wants a tag on every post: turn that off in its settings, or begin a post yourself and set thread_id to its id"
	case 50008, 50024:
		return "the webhook's channel takes no such messages: make a webhook in a text channel"
	}
	return ""
}

const goneHint = "make a new webhook in the settings of the channel, or correct thread_id"

// fault is the body of a refusal.
type fault struct {
	Code   int                        `json:"code"`
	Errors map[string]json.RawMessage `json:"errors"`
}

// readFault decodes the body of a refusal. In the old format, which some proxies and API versions still use, it only
// has field names: {"username":["..."]}. If the body is not JSON, it is not from Discord, and ok is false.
func readFault(body []byte) (f fault, ok bool) {
	if err := json.Unmarshal(body, &f); err != nil {
		return fault{}, false
	}
	if f.Code != 0 {
		return f, true
	}
	var old map[string]json.RawMessage
	if json.Unmarshal(body, &old) != nil {
		return f, false
	}
	maps.DeleteFunc(old, func(_ string, value json.RawMessage) bool { return len(value) == 0 || value[0] != '[' })
	if len(old) > 0 {
		return fault{Code: codeInvalidForm, Errors: old}, true
	}
	return f, false
}

// fields returns the refused fields, without the indexes of embeds: username, embeds.*.description.
func (f fault) fields() []string {
	found := make(map[string]bool)
	collectFields(f.Errors, "", 0, found)
	return slices.Sorted(maps.Keys(found))
}

// Limits when reading a refusal.
const (
	maxFaultDepth  = 8
	maxFaultFields = 8
)

func collectFields(of map[string]json.RawMessage, path string, depth int, found map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if len(found) >= maxFaultFields {
			return
		}
		name := key
		if strings.Trim(key, "0123456789") == "" {
			name = "*"
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		var inner map[string]json.RawMessage
		switch {
		case key == "_errors" && path != "":
			found[path] = true
		case depth < maxFaultDepth && json.Unmarshal(of[key], &inner) == nil:
			collectFields(inner, below, depth+1, found)
		default:
			found[below] = true
		}
	}
}

// ofSink returns the fields that come from the configuration, not from an event.
func ofSink(fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(name string) bool { return name == "embeds" || strings.HasPrefix(name, "embeds.") })
}

// Judge implements [chat.Service].
func (s *service) Judge(got chat.Answer) error {
	switch {
	case got.Status/100 == 2:
		s.keepThread(got.Body)
		return nil
	case got.Status == http.StatusTooManyRequests:
		return s.limited(got)
	case got.Status/100 != 4:
		return chat.JudgeStatus(got, "")
	}
	fault, own := readFault(got.Body)
	code := fmt.Sprintf("%d %d", got.Status, fault.Code)
	err := got.Refusal()
	switch {
	case got.Status == http.StatusGone, fault.Code == codeUnknownWebhook, fault.Code == codeInvalidToken:
		return pipeline.Gone(fmt.Errorf("%w; %s", err, goneHint))
	case s.thread != "" && slices.Contains([]int{codeUnknownChannel, codeArchived, codeLocked}, fault.Code):
		s.thread = ""
		return pipeline.Unavailable(fmt.Errorf("%w; %w", err, chat.ErrThreadEnded))
	case fault.Code == codeUnknownChannel:
		return pipeline.Gone(fmt.Errorf("%w; %s", err, goneHint))
	case advice(fault.Code) != "":
		return chat.SinkRefusal(got, code, fmt.Errorf("%w; %s", err, advice(fault.Code)))
	case fault.Code == codeInvalidForm:
		fields := fault.fields()
		code += " " + strings.Join(fields, " ")
		if bad := ofSink(fields); len(bad) > 0 {
			return chat.SinkRefusal(got, code, fmt.Errorf("%w; Discord refuses %s: change it in the configuration", err, strings.Join(bad, ", ")))
		}
	case !own && (got.Status == http.StatusUnauthorized || got.Status == http.StatusNotFound):
		return chat.SinkRefusal(got, code, fmt.Errorf("%w; it is not an answer of Discord's webhooks: if it stays, %s", err, goneHint))
	}
	return pipeline.WithRefusalCode(code, chat.JudgeStatus(got, goneHint))
}

// keepThread remembers the thread that the accepted message has opened.
func (s *service) keepThread(body []byte) {
	if s.threadName == "" || s.thread != "" {
		return
	}
	var message struct {
		Channel string `json:"channel_id"`
	}
	if json.Unmarshal(body, &message) == nil && isSnowflake(message.Channel) {
		s.thread = message.Channel
	}
}

// isSnowflake reports whether text is a Discord ID.
func isSnowflake(text string) bool {
	return text != "" && len(text) <= 20 && strings.Trim(text, "0123456789") == ""
}

// Address implements [chat.Service].
func (s *service) Address(webhook string) string {
	if s.thread == "" {
		return webhook
	}
	return webhook + "&thread_id=" + s.thread
}

// rateLimit is the body of a 429 ("Exceeding A Rate Limit").
type rateLimit struct {
	RetryAfter float64 `json:"retry_after"` // seconds
	Global     bool    `json:"global"`
}

// limited returns the error for a rate limit, with the time to wait.
func (s *service) limited(got chat.Answer) error {
	var limit rateLimit
	_ = json.Unmarshal(got.Body, &limit) // it may be an HTML page
	whose := "of this webhook"
	switch scope := got.Header.Get("X-RateLimit-Scope"); {
	case limit.Global || scope == "global":
		whose = "of everything from this address"
	case scope == "shared":
		whose = "of the channel"
	}
	err := pipeline.Unavailable(fmt.Errorf("status 429: the rate limit %s is exceeded", whose))
	// The longer of the two: the header is rounded, and a proxy in front of Discord sends only the header.
	after := max(httpheader.Seconds(limit.RetryAfter, outbound.MaxRetryAfter), httpheader.RetryAfter(got.Header, time.Now(), outbound.MaxRetryAfter))
	if after > 0 {
		return pipeline.RetryAfter(after, err)
	}
	return err
}

// Pace implements [chat.Service]. It waits while the rate limit bucket is empty ("Rate Limits"). A request without a
// response may have used the bucket too.
func (s *service) Pace(got chat.Answer) time.Duration {
	left, err := strconv.Atoi(got.Header.Get("X-RateLimit-Remaining"))
	after, err2 := strconv.ParseFloat(got.Header.Get("X-RateLimit-Reset-After"), 64)
	if err == nil && err2 == nil {
		s.left, s.reset = left, time.Now().Add(httpheader.Seconds(after, outbound.MaxRetryAfter)+resetMargin)
	} else {
		s.left--
	}
	if s.left > 0 {
		return 0
	}
	return time.Until(s.reset)
}
