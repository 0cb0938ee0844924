package reply

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

// longestLife is more than any provider issues. A larger expires_in is in milliseconds, a date, or a mistake.
const longestLife = 10 * 365 * 24 * time.Hour

// Reply is a successful reply of a token endpoint (RFC 6749 section 5.1).
type Reply struct {
	Access, Refresh           secret.String
	Lifetime, RefreshLifetime time.Duration // zero if missing or implausible
	Scope, TokenType          string
	At                        time.Time // when it arrived, by the server's clock; Decode leaves it to the caller
	Dropped                   string    // an unusable field that was dropped, and why; may be empty
}

// Decode decodes a token reply that arrived now. An invalid field does not affect the other ones.
func Decode(body []byte, now time.Time) (Reply, error) {
	fields, err := Object(body, "access_token")
	if err != nil {
		return Reply{}, err
	}
	r := Reply{
		Access:    secret.New(Text(fields["access_token"])),
		Refresh:   secret.New(Text(fields["refresh_token"])),
		Lifetime:  secondsOf(fields["expires_in"]),
		Scope:     labelOf(fields["scope"]),
		TokenType: labelOf(fields["token_type"]),
	}
	if r.Lifetime == 0 {
		r.Lifetime = Lifetime(dateOf(fields["expires_at"]), now)
	}
	for _, name := range []string{"refresh_token_expires_in", "refresh_expires_in"} {
		r.RefreshLifetime = max(r.RefreshLifetime, secondsOf(fields[name]))
	}
	if r.TokenType == "" {
		r.TokenType = "Bearer"
	}
	if r.Access.Empty() {
		return r, errors.New("the answer has no access_token")
	}
	if why := TokenFault(r.Access); why != "" {
		return Reply{}, errors.New("its access_token " + why)
	}
	if why := TokenFault(r.Refresh); why != "" {
		r.Refresh, r.Dropped = secret.String{}, "its refresh_token "+why
	}
	return r, nil
}

// Maximum sizes in bytes of the fields of a reply. A token of the first size fits into no header, and the store can read back
// two of them whatever their characters.
const (
	tokenLimit = 32 << 10
	labelLimit = 4 << 10
)

// TokenFault returns why a token can be neither stored nor sent, or an empty string.
func TokenFault(token secret.String) string {
	switch text := token.Reveal(); {
	case len(text) > tokenLimit:
		return fmt.Sprintf("is larger than %d KiB", tokenLimit>>10)
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds control characters"
	case strings.ContainsRune(text, utf8.RuneError): // the result of encoding/json for half a surrogate pair and invalid UTF-8
		return "is no valid text"
	}
	return ""
}

// labelOf is [Text] for a field that is only shown or stored. A value that is too long or has control characters counts
// as missing.
func labelOf(raw json.RawMessage) string {
	text := Text(raw)
	if len(text) > labelLimit || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

// Text returns a JSON string, or a JSON number as written; an empty string for anything else.
func Text(raw json.RawMessage) string {
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

// secondsOf parses a number of seconds: an integer or a float, also in quotes. It returns zero, which means unknown, if
// the value is missing, empty, not a number, below one second or implausibly large.
func secondsOf(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(Text(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 1 || seconds > longestLife.Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
