package reply

import (
	"slices"
	"strings"
	"unicode"
)

// Complaint is what an error body says. TreatStream's documentation promises "an appropriate error message" and not its
// shape, so the usual keys are read, RFC 6749 section 5.2 first.
type Complaint struct {
	Object bool   // whether the body is a JSON object at all
	Text   string // everything said, clean and on one line
	// Failed is whether it says that something failed; a mere message says nothing of the kind.
	Failed bool

	codes []string // what looks like a code, in lower case
}

// DecodeComplaint reads an error body. Each text goes through clean first, which takes out the secrets that a
// provider may echo; only then is it shortened, so that no part of one is left at the cut.
func DecodeComplaint(body []byte, clean func(string) string) Complaint {
	fields, err := Object(body)
	if err != nil {
		return Complaint{}
	}
	if inner, err := Object(fields["error"]); err == nil {
		fields = inner
	}
	c := Complaint{Object: true}
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

// Has reports whether one of the codes is among the given ones.
func (c Complaint) Has(codes ...string) bool {
	return slices.ContainsFunc(c.codes, func(code string) bool { return slices.Contains(codes, code) })
}

// GrantIsBad reports whether the complaint names the token or the grant and says that it is no good: by a code of RFC 6749
// section 5.2 or RFC 6750 section 3.1, by one of the provider's own, or in words.
func (c Complaint) GrantIsBad(own []string) bool {
	return c.Has("invalid_grant", "invalid_token") || c.Has(own...) || !c.Passing() && faults(c.Text, isToken)
}

// ClientIsBad reports whether the complaint is about the client's own registration, which a new login does not correct.
func (c Complaint) ClientIsBad() bool {
	return c.Has("invalid_client", "unauthorized_client", "unsupported_grant_type") || !c.Passing() && faults(c.Text, isClient)
}

// RequestIsBad reports whether the complaint is the code of RFC 6749 section 5.2 about what the client asks for. The other one,
// invalid_request, is what gateways say too.
func (c Complaint) RequestIsBad() bool { return c.Has("invalid_scope") }

// Busy reports whether the provider says by a code that it cannot answer now.
func (c Complaint) Busy() bool {
	return c.Has("temporarily_unavailable", "server_error", "slow_down")
}

// Passing reports whether the words are of something that passes, or of something else than a grant: then they end nothing, whatever
// else they name.
func (c Complaint) Passing() bool {
	words := wordsOf(c.Text)
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

// A noun reports whether the word at i of a text is the last of one that complaints are about.
type noun func(words []string, i int) bool

// isToken is for a token of whichever kind, and the grant; but not for a grant type, a token service or the like.
func isToken(words []string, i int) bool {
	if !slices.Contains([]string{"token", "tokens", "grant"}, words[i]) {
		return false
	}
	return i+1 == len(words) || !slices.Contains([]string{
		"type", "types", "service", "server", "store", "endpoint", "request", "bucket", "parameter", "url", "format", "length",
		"error", "errors", "response", "signature", "issuer",
	}, words[i+1])
}

// isClient is for the client and what it is known by; but not for an error of the client or its certificate.
func isClient(words []string, i int) bool {
	if slices.Contains([]string{"secret", "credentials", "id"}, words[i]) {
		return i > 0 && words[i-1] == "client"
	}
	return words[i] == "client" && (i+1 == len(words) || slices.Contains([]string{
		"or", "and", "is", "was", "not", "does", "unknown", "unauthorized",
	}, words[i+1]))
}

// faults reports whether a text says of the noun that it is no good, such as "Bad refresh token", "Tokens not found" and "The
// refresh token has expired".
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

// badBefore reads back from a noun, over what may stand between.
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

// badAfter reads on from a noun, over what may stand between.
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

// wordsOf gives the words of a text in lower case. An underscore parts words, and n't is a word of its own.
func wordsOf(text string) []string {
	text = strings.NewReplacer("n't", " not", "n’t", " not", "unrecognised", "unrecognized", "recognised", "recognized").Replace(strings.ToLower(text))
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}
