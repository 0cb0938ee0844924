// Package secret holds the one type in which relay carries tokens, client secrets and signing keys.
package secret

import (
	"fmt"
	"io"
	"strings"
)

// Redacted is what stands in place of a secret wherever one would be printed.
const Redacted = "[redacted]"

// String is a secret text. Every way of printing or encoding it by accident gives [Redacted];
// only [String.Reveal] gives the text. The zero value is the empty secret. It is safe to copy and to compare
// with ==, but compare texts an attacker may choose with crypto/subtle.
type String struct{ text string }

// New makes a secret of text.
func New(text string) String { return String{text} }

// Reveal returns the text. Call it only where the secret goes on the wire or into the store.
func (s String) Reveal() string { return s.text }

// Empty reports whether there is no secret.
func (s String) Empty() bool { return s.text == "" }

// String implements [fmt.Stringer] and never shows the text.
func (s String) String() string {
	if s.text == "" {
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
	s.text = string(b)
	return nil
}

// Scrub returns text with every occurrence of the given secrets replaced by [Redacted]. Secrets shorter than four
// bytes are left alone: they would blot out ordinary words, and no service issues such a token.
func Scrub(text string, secrets ...String) string {
	for _, s := range secrets {
		if len(s.text) >= 4 {
			text = strings.ReplaceAll(text, s.text, Redacted)
		}
	}
	return text
}
