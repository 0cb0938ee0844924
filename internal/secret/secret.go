// Package secret holds the one type in which relay carries tokens, client secrets and signing keys.
package secret

import (
	"fmt"
	"io"
	"strings"
	"unique"
)

// Redacted is what stands in place of a secret wherever one would be printed.
const Redacted = "[redacted]"

// String is a secret text. Every way of printing or encoding it by accident gives [Redacted];
// only [String.Reveal] gives the text. The zero value is the empty secret. It is safe to copy and to compare
// with ==, but compare texts an attacker may choose with crypto/subtle.
type String struct {
	// A handle is compared by its text and printed as an address. fmt calls no method of a value in an unexported
	// field: it would print a plain string there.
	text unique.Handle[string]
}

// New makes a secret of text.
func New(text string) String {
	if text == "" {
		return String{}
	}
	return String{unique.Make(text)}
}

// Reveal returns the text. Call it only where the secret goes on the wire or into the store.
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

// Scrub returns text with every occurrence of the given secrets replaced by [Redacted]. Secrets shorter than four
// bytes are left alone: they would blot out ordinary words, and no service issues such a token.
func Scrub(text string, secrets ...String) string {
	for _, s := range secrets {
		if plain := s.Reveal(); len(plain) >= 4 {
			text = strings.ReplaceAll(text, plain, Redacted)
		}
	}
	return text
}
