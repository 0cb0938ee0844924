package outbound

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
)

// What is taken of an answer.
const (
	maxAnswerHeader = 256 << 10 // more is not read, and the status decides
	MaxAnswerBody   = 64 << 10  // on the way, and again after decompression
	maxAnswerKept   = 1 << 10   // bytes of it that go into the log of attempts
	maxAnswerShown  = 200       // characters of a refusal that go into its error
	MaxRetryAfter   = 24 * time.Hour
)

// Printable makes one line of a body, without control characters and secrets, of at most maxAnswerKept bytes.
func Printable(body []byte, hidden []secret.String) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, string(body))
	// Secrets first: a cut could leave the beginning of one.
	text = secret.Scrub(strings.Join(strings.Fields(text), " "), hidden...)
	if len(text) <= maxAnswerKept {
		return text
	}
	end := maxAnswerKept
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// Shorten cuts an answer down to what fits into an error.
func Shorten(text string) string {
	if runes := []rune(text); len(runes) > maxAnswerShown {
		return string(runes[:maxAnswerShown]) + "..."
	}
	return text
}

// ErrProxyLogin says that a proxy wants another login.
var ErrProxyLogin = errors.New("status 407: the proxy refuses relay: check the user and password in proxy")

// RetryAfter reads a Retry-After header, in seconds or as a date in one of three forms (RFC 9110, sections 10.2.3 and
// 5.6.7), in whole seconds rounded up. It is at most a day, and zero when the header is missing, past or unreadable.
//
// A date is the receiver's, whose clock may not be ours: it is counted from the receiver's own Date and from now, and the
// longer of the two holds. So a wrong clock can make a retry late, and never early.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if whole, fraction, _ := strings.Cut(value, "."); whole != "" && strings.Trim(whole+fraction, "0123456789") == "" {
		seconds, err := strconv.ParseInt(whole, 10, 64)
		if strings.Trim(fraction, "0") != "" { // Against the RFC, but it is clear what is meant.
			seconds++
		}
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	after := date.Sub(now)
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		after = max(after, date.Sub(sent))
	}
	after = min(max(after, 0), MaxRetryAfter)
	return (after + time.Second - 1).Truncate(time.Second)
}
