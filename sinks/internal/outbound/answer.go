package outbound

import (
	"errors"
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
