package outbound

import (
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/treatrelay/relay/internal/secret"
)

// Limits on a response.
const (
	maxAnswerHeader = 256 << 10      // bytes; a longer header is not read, and the status decides
	MaxAnswerBody   = 64 << 10       // bytes, both before and after decompression
	maxAnswerKept   = 1 << 10        // bytes kept in the log of attempts
	maxAnswerShown  = 200            // characters of a refusal in its error
	MaxRetryAfter   = 24 * time.Hour // longest delay that a receiver may ask for
)

// Printable converts a body to one line of at most 1 KiB, without control characters and secrets.
func Printable(body []byte, hidden []secret.String) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, string(body))
	// Redact first: truncation could leave the beginning of a secret.
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

// Shorten truncates a response to a length that fits into an error.
func Shorten(text string) string {
	if runes := []rune(text); len(runes) > maxAnswerShown {
		return string(runes[:maxAnswerShown]) + "..."
	}
	return text
}

// ErrProxyLogin means that a proxy rejects the login.
var ErrProxyLogin = errors.New("status 407: the proxy refuses relay: check the user and password in proxy")
