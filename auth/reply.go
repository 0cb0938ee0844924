package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
	at                        time.Time // see [ServerTime]
	dropped                   string    // what came with the token and is of no use, and why; empty when nothing
}

// decodeReply reads a token reply that arrived now. One odd field never costs the tokens beside it.
func decodeReply(body []byte, now time.Time) (reply, error) {
	fields, err := decodeObject(body, "access_token")
	if err != nil {
		return reply{}, err
	}
	r := reply{
		access:    secret.New(textOf(fields["access_token"])),
		refresh:   secret.New(textOf(fields["refresh_token"])),
		lifetime:  secondsOf(fields["expires_in"]),
		scope:     labelOf(fields["scope"]),
		tokenType: labelOf(fields["token_type"]),
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
	if why := oddToken(r.access); why != "" {
		return reply{}, errors.New("its access_token " + why)
	}
	if why := oddToken(r.refresh); why != "" {
		r.refresh, r.dropped = secret.String{}, "its refresh_token "+why
	}
	return r, nil
}

// Bytes of what is kept of a reply. No header takes a token of the first size, and the store reads two of them back whatever
// they are made of.
const (
	tokenLimit = 32 << 10
	labelLimit = 4 << 10
)

// oddToken says why a token can be neither kept nor sent, empty when it can.
func oddToken(token secret.String) string {
	switch text := token.Reveal(); {
	case len(text) > tokenLimit:
		return fmt.Sprintf("is larger than %d KiB", tokenLimit>>10)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds control characters"
	case strings.ContainsRune(text, utf8.RuneError): // what encoding/json makes of half a surrogate pair, or of no UTF-8
		return "is no valid text"
	}
	return ""
}

// labelOf is textOf for what is only shown or stored: what is too long, or holds control characters, counts as not said.
func labelOf(raw json.RawMessage) string {
	text := textOf(raw)
	if len(text) > labelLimit || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
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
