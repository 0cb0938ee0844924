package webhook

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/sinks/internal/field"
)

// keyring returns the signing keys of the configuration.
func (s *Signing) keyring(log zerolog.Logger) (*keyring, error) {
	keys := &keyring{log: log, checked: time.Now()}
	var errs []error
	switch {
	case !s.Secret.Empty():
		errs = append(errs, keys.add("secret", "", []secret.String{s.Secret}, hmacSigners))
	case len(s.Secrets) > 0:
		errs = append(errs, keys.add("secrets", "", s.Secrets, hmacSigners))
	case s.SecretFile != "":
		errs = append(errs, keys.add("secret_file", s.SecretFile, nil, hmacSigners))
	}
	switch {
	case !s.PrivateKey.Empty():
		errs = append(errs, keys.add("private_key", "", []secret.String{s.PrivateKey}, ed25519Signers))
	case s.PrivateKeyFile != "":
		errs = append(errs, keys.add("private_key_file", s.PrivateKeyFile, nil, ed25519Signers))
	}
	return keys, errors.Join(errs...)
}

// keyCheckInterval is the minimum time between two checks of the key files.
const keyCheckInterval = 2 * time.Second

// keyring holds the keys that sign requests. It reads a key file again when the file changes; until that succeeds, the
// previous keys sign. It is safe for concurrent use.
type keyring struct {
	log zerolog.Logger

	mu      sync.Mutex
	sources []*keySource
	checked time.Time
}

// keySource is one configuration key that provides signing keys.
type keySource struct {
	key     string // of the configuration
	path    string // of the file; empty if the configuration has the keys themselves
	parse   func([]secret.String) ([]signer, error)
	signers []signer
	secrets []secret.String
	stamp   fs.FileInfo // of the file when it was read
	said    string      // the logged reason why it could not be read
}

// add adds keys from the configuration, or from a file if path is set.
func (k *keyring) add(key, path string, secrets []secret.String, parse func([]secret.String) ([]signer, error)) error {
	s := &keySource{key: key, path: path, parse: parse}
	if path != "" {
		if err := s.read(); err != nil {
			return err
		}
	} else {
		all, err := parse(secrets)
		if err != nil {
			return field.Wrap(key, err)
		}
		s.signers, s.secrets = all, secrets
	}
	k.sources = append(k.sources, s)
	return nil
}

// current returns the signers to use at that time, and all secrets to redact.
func (k *keyring) current(now time.Time) (signers []signer, secrets []secret.String) {
	k.mu.Lock()
	defer k.mu.Unlock()
	check := now.Sub(k.checked) >= keyCheckInterval
	if check {
		k.checked = now
	}
	for _, s := range k.sources {
		if check && s.path != "" {
			s.refresh(k.log)
		}
		signers = append(signers, s.signers...)
		secrets = append(secrets, s.secrets...)
	}
	return signers, secrets
}

// refresh reads the file if it has changed.
func (s *keySource) refresh(log zerolog.Logger) {
	info, err := os.Stat(s.path)
	if err == nil {
		if os.SameFile(info, s.stamp) && info.ModTime().Equal(s.stamp.ModTime()) && info.Size() == s.stamp.Size() {
			s.said = ""
			return
		}
		err = s.read()
	}
	switch {
	case err == nil:
		s.said = ""
		log.Info().Str("file", s.path).Int("keys", len(s.signers)).Msg("signing keys reloaded")
	case s.said != err.Error():
		s.said = err.Error()
		log.Warn().Err(err).Str("file", s.path).Msg("cannot reload signing keys, the old ones stay in use")
	}
}

func (s *keySource) read() error {
	info, err := os.Stat(s.path) // before reading, so that a change in between is noticed the next time
	if err != nil {
		return field.Wrap(s.key, err)
	}
	secrets, err := readSecrets(s.key, s.path)
	if err != nil {
		return err
	}
	all, err := s.parse(secrets)
	if err != nil {
		return field.Wrap(s.key, err)
	}
	s.signers, s.secrets, s.stamp = all, secrets, info
	return nil
}
