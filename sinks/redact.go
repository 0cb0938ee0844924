package sinks

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/pipeline"
)

// redacted is an error whose text has lost its secrets.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// redact takes the secrets out of the text of err. What [errors.Is] and [errors.As] find in it stays.
func redact(err error, secrets []secret.String) error {
	if err == nil {
		return nil
	}
	text := secret.Scrub(err.Error(), secrets...)
	if text == err.Error() {
		return err
	}
	return &redacted{text, err}
}

// whole marks an error as one of the destination as a whole, unless it is the record's own.
func whole(err error) error {
	if pipeline.IsRefusal(err) {
		return err
	}
	return pipeline.Unavailable(err)
}

// field returns err as a fault of a configuration key, or nil.
func field(key string, err error) error {
	if err == nil {
		return nil
	}
	return &FieldError{Field: key, Err: err}
}

// oneOf returns a fault when more than one of the keys, each with whether it is set, is set.
func oneOf(set map[string]bool, keys ...string) error {
	var first string
	for _, k := range keys {
		switch {
		case !set[k]:
		case first == "":
			first = k
		default:
			return field(k, fmt.Errorf("is set besides %s: keep one of the two", first))
		}
	}
	return nil
}

// readSecretLine is readSecret for a file with one line.
func readSecretLine(key, path string) (secret.String, error) {
	text, err := readSecret(key, path)
	if err == nil && strings.ContainsFunc(text.Reveal(), unicode.IsControl) {
		return secret.String{}, field(key, fmt.Errorf("%s holds more than one line of text", path))
	}
	return text, err
}

// readSecret reads the file a *_file key names, as [secret.ReadFile] does and without the white space around its text.
func readSecret(key, path string) (secret.String, error) {
	text, err := secret.ReadFile(path)
	if err != nil {
		return secret.String{}, field(key, err)
	}
	trimmed := secret.New(strings.TrimSpace(text.Reveal()))
	if trimmed.Empty() {
		return secret.String{}, field(key, fmt.Errorf("%s is empty", path))
	}
	return trimmed, nil
}
