package webhook

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// The format of keys (Standard Webhooks 1.0.0, "Signature scheme").
const (
	minSecretBytes = 24
	secretPrefix   = "whsec_"
	privatePrefix  = "whsk_"
	publicPrefix   = "whpk_"
)

const (
	makeSecret = "make one with `relay secrets new`"
	makePair   = "make one with `relay secrets new --ed25519`"
)

// NewSigningSecret returns a new signing secret of 32 random bytes, in the format of the key secret of a webhook sink.
func NewSigningSecret() secret.String {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // cannot fail
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(key))
}

// NewKeyPair returns a new Ed25519 key pair: the private key in the format of the key private_key of a webhook sink,
// and the public key for receivers.
func NewKeyPair() (private secret.String, public string) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed)
	return secret.New(privatePrefix + base64.StdEncoding.EncodeToString(seed)), privateKey(seed).public()
}

// ReadSigningSecrets returns the signing secrets of a secret_file, the newest first. It checks them. Its errors do not
// quote them.
func ReadSigningSecrets(path string) ([]secret.String, error) {
	secrets, err := readSecrets("secret_file", path)
	if err != nil {
		return nil, err
	}
	_, err = hmacSigners(secrets)
	return secrets, field.Wrap("secret_file", err)
}

// PublicKeys returns the public keys (whpk_) of the configured private keys, for receivers. It reads the
// private_key_file.
func (s *Signing) PublicKeys() ([]string, error) {
	private := []secret.String{s.PrivateKey}
	if s.PrivateKeyFile != "" {
		var err error
		if private, err = readSecrets("private_key_file", s.PrivateKeyFile); err != nil {
			return nil, err
		}
	}
	var public []string
	for i, one := range private {
		if one.Empty() {
			continue
		}
		key, err := parsePrivateKey(i, one)
		if err != nil {
			return nil, err
		}
		public = append(public, key.public())
	}
	return public, nil
}

// signer signs a request.
type signer interface {
	Sign(id string, at time.Time, body []byte) (string, error)
}

// privateKey is the seed of an Ed25519 key (RFC 8032, section 5.1.5).
type privateKey []byte

// Sign implements signer.
func (k privateKey) Sign(id string, at time.Time, body []byte) (string, error) {
	signed := fmt.Appendf(nil, "%s.%d.%s", id, at.Unix(), body)
	return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(k), signed)), nil
}

func (k privateKey) public() string {
	return publicPrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(k)[ed25519.SeedSize:])
}

// hmacSigners checks signing secrets, because the library accepts empty and short ones. Its errors do not quote them.
func hmacSigners(secrets []secret.String) ([]signer, error) {
	var all []signer
	for i, s := range secrets {
		encoded, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
		if !ok {
			return nil, fmt.Errorf("number %d does not begin with %s: %s", i+1, secretPrefix, makeSecret)
		}
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("number %d is not base64 after %s: %s", i+1, secretPrefix, makeSecret)
		}
		if len(key) < minSecretBytes {
			return nil, fmt.Errorf("number %d has %d bytes, less than the %d it needs: %s", i+1, len(key), minSecretBytes, makeSecret)
		}
		one, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New("has no secret: " + makeSecret)
	}
	return all, nil
}

// ed25519Signers checks private keys. Its errors do not quote them.
func ed25519Signers(secrets []secret.String) ([]signer, error) {
	var all []signer
	for i, s := range secrets {
		key, err := parsePrivateKey(i, s)
		if err != nil {
			return nil, err
		}
		all = append(all, key)
	}
	if len(all) == 0 {
		return nil, errors.New("has no key: " + makePair)
	}
	return all, nil
}

// parsePrivateKey decodes a private key. The specification does not define what the base64 encodes: it is the seed of
// 32 bytes, as in the project's own Go library, or the 64 bytes of libsodium, which are the seed and the public key.
func parsePrivateKey(i int, s secret.String) (privateKey, error) {
	encoded, ok := strings.CutPrefix(s.Reveal(), privatePrefix)
	if !ok {
		return nil, fmt.Errorf("number %d does not begin with %s: %s", i+1, privatePrefix, makePair)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case err != nil:
		return nil, fmt.Errorf("number %d is not base64 after %s: %s", i+1, privatePrefix, makePair)
	case len(key) == ed25519.PrivateKeySize && bytes.Equal(key, ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])):
		key = key[:ed25519.SeedSize]
	case len(key) == ed25519.PrivateKeySize:
		return nil, fmt.Errorf("number %d is damaged, its second half is not the public key of its first: %s", i+1, makePair)
	case len(key) != ed25519.SeedSize:
		return nil, fmt.Errorf("number %d has %d bytes, want %d or %d: %s", i+1, len(key), ed25519.SeedSize, ed25519.PrivateKeySize, makePair)
	}
	return privateKey(key), nil
}

// readSecrets reads a file with one secret per line.
func readSecrets(key, path string) ([]secret.String, error) {
	text, err := field.ReadSecret(key, path)
	if err != nil {
		return nil, err
	}
	var all []secret.String
	for line := range strings.FieldsSeq(text.Reveal()) {
		all = append(all, secret.New(line))
	}
	return all, nil
}
