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

// longestLife is beyond what any provider issues. A larger expires_in is in milliseconds, or a date, or a mistake.
const longestLife = 10 * 365 * 24 * time.Hour

// Reply is a successful answer of a token endpoint, RFC 6749 section 5.1.
type Reply struct {
	Access, Refresh           secret.String
	Lifetime, RefreshLifetime time.Duration // zero when not said, or not believably
	Scope, TokenType          string
	At                        time.Time // when it arrived, by the server's clock; for who sent the request to say
	Dropped                   string    // what came with the token and is of no use, and why; empty when nothing
}

// Decode reads a token reply that arrived now. One odd field never costs the tokens beside it.
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
	if why := OddToken(r.Access); why != "" {
		return Reply{}, errors.New("its access_token " + why)
	}
	if why := OddToken(r.Refresh); why != "" {
		r.Refresh, r.Dropped = secret.String{}, "its refresh_token "+why
	}
	return r, nil
}

// Bytes of what is kept of a reply. No header takes a token of the first size, and the store reads two of them back whatever
// they are made of.
const (
	tokenLimit = 32 << 10
	labelLimit = 4 << 10
)

// OddToken says why a token can be neither kept nor sent, empty when it can.
func OddToken(token secret.String) string {
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

// labelOf is Text for what is only shown or stored: what is too long, or holds control characters, counts as not said.
func labelOf(raw json.RawMessage) string {
	text := Text(raw)
	if len(text) > labelLimit || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

// Text gives a JSON string, or a JSON number as it is written; anything else is empty.
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

// secondsOf reads a number of seconds: an integer, a float, or either in quotes. What is missing, empty, not a number,
// below one second or absurdly large is zero, which means that the reply did not say.
func secondsOf(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(Text(raw), 64)
	if err != nil || math.IsNaN(seconds) || seconds < 1 || seconds > longestLife.Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
