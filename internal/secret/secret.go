// Package secret provides [String], the type of tokens, client secrets and signing keys. No way of printing or encoding
// it shows the secret. It also reads secrets from files, see [ReadLine].
package secret

import (
	"fmt"
	"io"
	"strings"
	"unique"
)

// Redacted replaces a secret in output.
const Redacted = "[redacted]"

// String is a secret text. All ways of printing or encoding it give [Redacted]; only [String.Reveal] returns the text.
// The zero value is the empty secret. It can be copied and compared with ==; compare texts that an attacker may choose
// with crypto/subtle.
type String struct {
	// A handle compares by its text and prints as an address. fmt calls no method of a value in an unexported field, so
	// it would print a plain string.
	text unique.Handle[string]
}

// New makes a secret from a text.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{unique.Make(text)}
}

// Reveal returns the text. Call it only to send or store the secret.
func (s String) Reveal() string {
	if s.Empty() {
		return ""
	}
	return s.text.Value()
}

// Empty reports whether there is no secret.
func (s String) Empty() bool { return s == String{} }

// String implements [fmt.Stringer] and never shows the text.
func (s String) String() string {
	if s.Empty() {
		return ""
	}
	return Redacted
}

// Format implements [fmt.Formatter], so that no verb (%v, %+v, %#v, %x, %q) shows the text.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements [encoding.TextMarshaler], and through it JSON and YAML, and never shows the text.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *String) UnmarshalText(b []byte) error {
	*s = New(string(b))
	return nil
}

// Scrub replaces every occurrence of the given secrets in a text with [Redacted]. It ignores secrets shorter than four
// bytes, which would match ordinary words; no service issues such tokens.
func Scrub(text string, secrets ...String) string {
	for _, s := range secrets {
		if plain := s.Reveal(); len(plain) >= 4 {
			text = strings.ReplaceAll(text, plain, Redacted)
		}
	}
	return text
}
