package field

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/internal/secret"
)

// ReadSecretLine is [ReadSecret] for a file with one line.
func ReadSecretLine(key, path string) (secret.String, error) {
	text, err := ReadSecret(key, path)
	if err == nil && strings.ContainsFunc(text.Reveal(), unicode.IsControl) {
		return secret.String{}, Wrap(key, fmt.Errorf("%s holds more than one line of text", path))
	}
	return text, err
}

// ReadSecret reads the file that a *_file key names, as [secret.ReadFile] does, and trims white space. An empty file is
// an error.
func ReadSecret(key, path string) (secret.String, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return secret.String{}, Wrap(key, err)
	}
	trimmed := secret.New(strings.TrimSpace(text.Reveal()))
	if trimmed.Empty() {
		return secret.String{}, Wrap(key, fmt.Errorf("%s is empty", path))
	}
	return trimmed, nil
}
