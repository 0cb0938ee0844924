package sinks

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/treatrelay/relay/internal/secret"
)

// FieldError is a fault in the value of one configuration key.
type FieldError struct {
	Field string // the yaml key
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

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

// checkTimeout checks the value of the key timeout, which bounds one request.
func checkTimeout(d time.Duration) error {
	if d < 100*time.Millisecond {
		return field("timeout", fmt.Errorf("%v is less than 100ms: give it a unit, as in 15s", d))
	}
	return nil
}
