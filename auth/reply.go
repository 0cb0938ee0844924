package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
)

// longestLife is beyond what any provider issues. A larger expires_in is in milliseconds, or a date, or a mistake.
const longestLife = 10 * 365 * 24 * time.Hour

// reply is a successful answer of a token endpoint, RFC 6749 section 5.1.
type reply struct {
	access, refresh           secret.String
	lifetime, refreshLifetime time.Duration // zero when not said, or not believably
	scope, tokenType          string
}

var errNoObject = errors.New("the answer is not a JSON object")

// decodeObject reads the JSON object at the start of body, whatever its content type says and whatever follows it.
// Its error quotes nothing of the body, which may hold tokens.
func decodeObject(body []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if json.NewDecoder(bytes.NewReader(body)).Decode(&fields) != nil || fields == nil {
		return nil, errNoObject
	}
	return fields, nil
}

// decodeReply reads a token reply that arrived now. One odd field never costs the tokens beside it.
func decodeReply(body []byte, now time.Time) (reply, error) {
	fields, err := decodeObject(body)
	if err != nil {
		return reply{}, err
	}
	r := reply{
		access:    secret.New(textOf(fields["access_token"])),
		refresh:   secret.New(textOf(fields["refresh_token"])),
		lifetime:  secondsOf(fields["expires_in"]),
		scope:     textOf(fields["scope"]),
		tokenType: textOf(fields["token_type"]),
	}
	if r.lifetime == 0 {
		r.lifetime = lifetimeUntil(dateOf(fields["expires_at"]), now)
	}
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		r.refreshLifetime = max(r.refreshLifetime, secondsOf(fields[name]))
	}
	if r.tokenType == "" {
		r.tokenType = "Bearer"
	}
	if r.access.Empty() {
		return r, errors.New("the answer has no access_token")
	}
	return r, nil
}

// textOf gives a JSON string, or a JSON number as it is written; anything else is empty.
func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.TrimSpace(s)
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// secondsOf reads a number of seconds: an integer, a float, or either in quotes. What is missing, empty, not a number,
// below one second or absurdly large is zero, which means that the reply did not say.
func secondsOf(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(textOf(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 1 || seconds > longestLife.Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// complaint is what an error body says. TreatStream's documentation promises "an appropriate error message" and not its
// shape, so the usual keys are looked at, RFC 6749 section 5.2 first.
type complaint struct {
	code string // the RFC's error, when it looks like one
	text string // everything said, clean and on one line
	// failed is whether it says that something failed; a mere message says nothing of the kind.
	failed bool
}

// decodeComplaint reads an error body. Each text goes through clean first, which takes out the secrets that a
// provider may echo; only then is it shortened, so that no part of one is left at the cut.
func decodeComplaint(body []byte, clean func(string) string) complaint {
	fields, err := decodeObject(body)
	if err != nil {
		return complaint{}
	}
	if inner, err := decodeObject(fields["error"]); err == nil {
		fields = inner
	}
	var c complaint
	var said []string
	if string(fields["success"]) == "false" {
		c.failed = true
	}
	for _, name := range []string{"error", "error_code", "code", "error_description", "error_message", "message", "msg", "reason"} {
		text := oneLine(clean(textOf(fields[name])))
		if text == "" || slices.Contains(said, text) || strings.HasSuffix(name, "code") && text == "0" {
			continue
		}
		c.failed = c.failed || name != "message" && name != "msg"
		said = append(said, text)
		if c.code == "" && !strings.ContainsAny(text, " .") {
			c.code = strings.ToLower(text)
		}
	}
	c.text = strings.Join(said, ": ")
	return c
}

// tokenIsBad reports whether the complaint is about the token or the grant itself, and not about an outage.
func (c complaint) tokenIsBad() bool {
	if c.code == "invalid_grant" || c.code == "invalid_token" {
		return true
	}
	text := strings.ToLower(c.text)
	if strings.Contains(text, "csrf") || !strings.Contains(text, "token") && !strings.Contains(text, "grant") {
		return false
	}
	return slices.ContainsFunc([]string{
		"invalid", "expired", "revoked", "not found", "unknown", "not valid",
		"unauthori", "wrong", "mismatch", "not exist",
	}, func(word string) bool { return strings.Contains(text, word) })
}

// clientIsBad reports whether the complaint is about the client's own registration, which a new login does not mend.
func (c complaint) clientIsBad() bool {
	return slices.Contains([]string{"invalid_client", "unauthorized_client", "unsupported_grant_type"}, c.code)
}

// busy reports whether the provider says that it cannot answer now.
func (c complaint) busy() bool {
	return slices.Contains([]string{"temporarily_unavailable", "server_error", "slow_down"}, c.code)
}

// oneLine makes text of a stranger fit for an error: no control characters, at most 200 bytes.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = text[:200]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
		text += "..."
	}
	return text
}
