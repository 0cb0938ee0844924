package reply

import (
	"slices"
	"strings"
	"unicode"
)

// ErrorReply is the content of an error reply. TreatStream's documentation promises "an appropriate error message" but
// not its shape, so the usual keys are read, those of RFC 6749 section 5.2 first.
type ErrorReply struct {
	Object bool   // whether the body is a JSON object at all
	Text   string // all its messages, without secrets, on one line
	// Failed reports whether the reply says that something failed. A message alone does not.
	Failed bool

	codes []string // the values that look like error codes, in lower case
}

// DecodeError decodes an error reply. It passes each text through clean, which removes secrets that a provider may
// repeat, and only then shortens it, so that no part of a secret remains at the cut.
func DecodeError(body []byte, clean func(string) string) ErrorReply {
	fields, err := Object(body)
	if err != nil {
		return ErrorReply{}
	}
	if inner, err := Object(fields["error"]); err == nil {
		fields = inner
	}
	c := ErrorReply{Object: true}
	var said []string
	if string(fields["success"]) == "false" || string(fields["status"]) == "false" {
		c.Failed = true
	}
	for _, name := range []string{"error", "error_code", "code", "error_description", "error_message", "message", "msg", "reason", "hint", "detail"} {
		text := OneLine(clean(Text(fields[name])))
		if text == "" || slices.Contains(said, text) || strings.HasSuffix(name, "code") && text == "0" {
			continue
		}
		c.Failed = c.Failed || name != "message" && name != "msg"
		said = append(said, text)
		if code := strings.ToLower(strings.TrimSuffix(text, ".")); !strings.ContainsAny(code, " .") {
			c.codes = append(c.codes, code)
		}
	}
	c.Text = strings.Join(said, ": ")
	return c
}

// Has reports whether the reply has one of these codes.
func (e ErrorReply) Has(codes ...string) bool {
	return slices.ContainsFunc(e.codes, func(code string) bool { return slices.Contains(codes, code) })
}

// InvalidGrant reports whether the reply names the token or the grant as invalid: by a code of RFC 6749 section 5.2 or
// RFC 6750 section 3.1, by one of the provider's own codes, or in words.
func (e ErrorReply) InvalidGrant(own []string) bool {
	return e.Has("invalid_grant", "invalid_token") || e.Has(own...) || !e.Transient() && faults(e.Text, isToken)
}

// InvalidClient reports whether the reply is about the client's own registration, which a new login does not fix.
func (e ErrorReply) InvalidClient() bool {
	return e.Has("invalid_client", "unauthorized_client", "unsupported_grant_type") || !e.Transient() && faults(e.Text, isClient)
}

// RequestIsBad reports whether the reply has the code of RFC 6749 section 5.2 about the scope that the client requests.
// It ignores invalid_request, which gateways send too.
func (e ErrorReply) RequestIsBad() bool { return e.Has("invalid_scope") }

// Busy reports whether the reply says, by a code, that the provider cannot answer now.
func (e ErrorReply) Busy() bool {
	return e.Has("temporarily_unavailable", "server_error", "slow_down")
}

// Transient reports whether the words are about a temporary problem, or about something other than a grant. Then they end
// no grant, whatever else they name.
func (e ErrorReply) Transient() bool {
	words := wordsOf(e.Text)
	for i, w := range words {
		pair := w
		if i > 0 {
			pair = words[i-1] + " " + w
		}
		if slices.Contains([]string{
			"unavailable", "maintenance", "database", "timeout", "temporary", "temporarily", "later", "overloaded", "busy",
			"internal", "upstream", "backend", "host", "connection", "retry", "quota", "throttled", "json", "csrf", "xsrf",
			"captcha", "firewall", "yet", "gateway", "redis", "memcached", "sql", "mysql", "mariadb", "postgres", "postgresql", "mongodb", "sqlstate",
			"deadlock", "lock", "table", "column", "cache", "disk", "econnrefused", "econnreset", "etimedout", "enotfound",
		}, w) || slices.Contains([]string{"timed out", "try again", "server error", "rate limit", "rate limited", "too many", "gone away"}, pair) {
			return true
		}
	}
	return false
}

// A noun reports whether words[i] is the last word of something that error replies are about.
type noun func(words []string, i int) bool

// isToken matches any kind of token, and the grant, but not a grant type, a token service or the like.
func isToken(words []string, i int) bool {
	if !slices.Contains([]string{"token", "tokens", "grant"}, words[i]) {
		return false
	}
	return i+1 == len(words) || !slices.Contains([]string{
		"type", "types", "service", "server", "store", "endpoint", "request", "bucket", "parameter", "url", "format", "length",
		"error", "errors", "response", "signature", "issuer",
	}, words[i+1])
}

// isClient matches the client and its credentials, but not a client error or a client certificate.
func isClient(words []string, i int) bool {
	if slices.Contains([]string{"secret", "credentials", "id"}, words[i]) {
		return i > 0 && words[i-1] == "client"
	}
	return words[i] == "client" && (i+1 == len(words) || slices.Contains([]string{
		"or", "and", "is", "was", "not", "does", "unknown", "unauthorized",
	}, words[i+1]))
}

// faults reports whether a text calls the noun invalid, as in "Bad refresh token", "Tokens not found" and "The refresh
// token has expired".
func faults(text string, is noun) bool {
	for _, clause := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(".:;,!?()", r) }) {
		words := wordsOf(clause)
		for i := range words {
			if is(words, i) && (badBefore(words[:i]) || badAfter(words[i+1:])) {
				return true
			}
		}
	}
	return false
}

// badBefore reads backward from a noun and skips words that may stand in between.
func badBefore(words []string) bool {
	for _, w := range slices.Backward(words) {
		if isBad(w) {
			return true
		}
		if !slices.Contains([]string{
			"the", "a", "an", "your", "this", "access", "refresh", "bearer", "oauth", "oauth2", "personal", "auth",
			"authorization", "authentication", "provided", "supplied", "given", "user", "client", "or", "and",
		}, w) {
			return false
		}
	}
	return false
}

// badAfter reads forward from a noun and skips words that may stand in between.
func badAfter(words []string) bool {
	denied := false
	for _, w := range words {
		switch {
		case !denied && isBad(w),
			denied && slices.Contains([]string{"found", "valid", "exist", "exists", "recognized", "known", "active", "accepted", "correct"}, w):
			return true
		case w == "not" || w == "no" || w == "cannot":
			denied = true
		case !slices.Contains([]string{
			"is", "are", "was", "were", "has", "have", "been", "be", "does", "do", "did", "could", "can", "already", "longer", "either", "or",
			"you", "that", "provided", "supplied", "given", "sent", "used", "redacted",
		}, w):
			return false
		}
	}
	return false
}

func isBad(word string) bool {
	return slices.Contains([]string{
		"bad", "invalid", "expired", "revoked", "unknown", "wrong", "incorrect", "inactive", "malformed", "unrecognized", "unauthorized",
		"rejected", "refused", "deleted", "disabled", "blacklisted", "blocked", "cancelled", "canceled", "removed", "withdrawn", "consumed",
	}, word)
}

// wordsOf returns the words of a text in lower case. An underscore separates words, and n't is a word of its own.
func wordsOf(text string) []string {
	text = strings.NewReplacer("n't", " not", "n’t", " not", "unrecognised", "unrecognized", "recognised", "recognized").Replace(strings.ToLower(text))
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
