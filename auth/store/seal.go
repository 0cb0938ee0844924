package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// NewAgeSealer returns a sealer that uses age (the format age-encryption.org/v1) in ASCII armor. It encrypts for the
// first key of the identity and decrypts with any of its keys. It is safe for concurrent use.
func NewAgeSealer(identity Identity) Sealer { return ageSealer{identity} }

type ageSealer struct{ identity Identity }

func (s ageSealer) Seal(plain []byte) ([]byte, error) {
	if s.identity.recipient == nil {
		return nil, errors.New("no identity to seal for")
	}
	return ageSeal(plain, s.identity.recipient)
}

func (s ageSealer) Open(sealed []byte) ([]byte, error) {
	plain, err := ageOpen(sealed, s.identity.keys...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, fmt.Errorf("it is sealed for another identity than %s of %s, or damaged; use the one it was sealed with",
			s.identity.Recipient(), s.identity.Source)
	}
	return plain, err
}

func ageSeal(plain []byte, to age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	wrapped := armor.NewWriter(&out)
	w, err := age.Encrypt(wrapped, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), wrapped.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ageOpen returns an *age.NoIdentityMatchError if no key fits.
func ageOpen(sealed []byte, keys ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), keys...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return nil, err
	}
	if err != nil {
		return nil, errors.New("damaged: not whole, or not sealed by relay")
	}
	plain, err := io.ReadAll(io.LimitReader(r, recordLimit))
	if err != nil {
		return nil, errors.New("damaged: its content was changed or cut")
	}
	return plain, nil
}

// Sealed reports whether content is in the ASCII armor of age, like the result of [Files.Export].
func Sealed(content []byte) bool {
	return strings.HasPrefix(string(bytes.TrimSpace(content)), armor.Header)
}
