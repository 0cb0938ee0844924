package webhook

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
)

// The signature and the keys are those of the test of the project's own Go library
// (standard-webhooks/standard-webhooks, libraries/go/webhook_asymmetric_test.go).
func TestEd25519Signature(t *testing.T) {
	seed, _ := base64.StdEncoding.DecodeString("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
	signature, err := privateKey(seed).Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	const want = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
	if err != nil || signature != want {
		t.Errorf("signature %s, %v, want %s", signature, err, want)
	}
}

func TestPrivateKeys(t *testing.T) {
	private, public := NewKeyPair()
	seed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(private.Reveal(), "whsk_"))
	point, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(public, "whpk_"))
	encode := func(parts ...[]byte) secret.String {
		return secret.New("whsk_" + base64.StdEncoding.EncodeToString(bytes.Join(parts, nil)))
	}
	for _, s := range []secret.String{private, encode(seed), encode(seed, point)} {
		keys, err := (&Signing{PrivateKey: s}).PublicKeys()
		if err != nil || len(keys) != 1 || keys[0] != public {
			t.Errorf("public keys %v, %v, want %s", keys, err, public)
		}
	}
	for want, s := range map[string]secret.String{
		"does not begin with whsk_": secret.New("whsec_" + strings.Repeat("A", 44)),
		"is not base64":             secret.New("whsk_***"),
		"has 31 bytes":            encode(seed[1:]),
		"has 0 bytes":             secret.New("whsk_"),
		"has 33 bytes":            encode(seed, point[:1]),
		"is damaged":                encode(seed, seed),
	} {
		if _, err := ed25519Signers([]secret.String{s}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), s.Reveal()[5:]) && len(s.Reveal()) > 8 {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A file of secrets is read again when it has changed, at most every two seconds, and what is wrong with it is logged once.
func TestKeysAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	replace := func(text string) { // as relay secrets rotate does it
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	first, second := NewSigningSecret(), NewSigningSecret()
	replace(first.Reveal())
	var log bytes.Buffer
	now := time.Now()
	keys := &keyring{log: zerolog.New(&log), checked: now}
	if err := keys.add("secret_file", path, nil, hmacSigners); err != nil {
		t.Fatal(err)
	}
	is := func(after time.Duration, want ...secret.String) {
		t.Helper()
		now = now.Add(after)
		signers, secrets := keys.current(now)
		if len(signers) != len(want) || len(secrets) != len(want) {
			t.Fatalf("%d keys, want %d", len(signers), len(want))
		}
		for i, s := range want {
			if secrets[i] != s {
				t.Errorf("secret %d is another", i)
			}
		}
	}
	is(time.Hour, first)
	replace(second.Reveal() + "\n" + first.Reveal() + "\n")
	is(keyCheckInterval-1, first)
	is(1, second, first)
	if n := strings.Count(log.String(), "signing keys reloaded"); n != 1 {
		t.Errorf("logged:\n%s", log.String())
	}
	log.Reset()
	replace("planted words")
	for range 3 {
		is(keyCheckInterval, second, first)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		is(keyCheckInterval, second, first)
	}
	if n := strings.Count(log.String(), "old ones stay in use"); n != 2 || strings.Contains(log.String(), "planted") {
		t.Errorf("logged:\n%s", log.String())
	}
	log.Reset()
	replace(second.Reveal())
	is(keyCheckInterval, second)
	is(keyCheckInterval, second)
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("logged:\n%s", log.String())
	}
}
