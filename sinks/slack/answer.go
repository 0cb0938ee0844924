package slack

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/sinks/internal/chat"
)

// What an error code of Slack is about.
const (
	aboutOther   = iota // permissions of the webhook, or unknown
	aboutWebhook        // the webhook or its channel no longer exists
	aboutContent        // the message
)

func about(word string) int {
	switch word {
	case "no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "channel_not_found", "channel_is_archived",
		"user_not_found":
		return aboutWebhook
	case "invalid_payload", "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "no_text", "msg_too_long", "msg_blocks_too_long",
		"too_many_attachments":
		return aboutContent
	}
	return aboutOther
}

// Judge implements [chat.Service]. Slack responds with an error code in plain text ("Sending messages using incoming
// webhooks").
func (s *service) Judge(got chat.Answer) error {
	const hint = "make a new incoming webhook in the settings of the app"
	if got.Status/100 != 4 || got.Status == http.StatusTooManyRequests {
		return chat.JudgeStatus(got, hint)
	}
	word := wordOf(got.Body)
	about := about(word)
	code := strings.TrimSpace(fmt.Sprintf("%d %s", got.Status, word))
	err := got.Refusal()
	switch {
	case got.Status == http.StatusGone, about == aboutWebhook:
		return pipeline.Gone(fmt.Errorf("%w; %s", err, hint))
	case about == aboutContent:
		return pipeline.WithRefusalCode(code, pipeline.Permanent(err))
	case got.Status == http.StatusUnauthorized, got.Status == http.StatusNotFound:
		return chat.SinkRefusal(got, code, fmt.Errorf("%w; it is not an answer of Slack's webhooks: if it stays, %s", err, hint))
	}
	return pipeline.WithRefusalCode(code, chat.JudgeStatus(got, hint))
}

// wordOf returns the error code of a response, or an empty string if it has none, because it is not from Slack.
func wordOf(body []byte) string {
	word := strings.TrimSpace(string(body))
	if len(word) > 64 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return ""
	}
	return word
}
