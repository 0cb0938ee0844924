package field

import (
	"fmt"
	"time"
)

// Error is an error in the value of one configuration key.
type Error struct {
	Field string // the yaml key
	Err   error
}

func (e *Error) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err as an [Error] of the key, or nil if err is nil.
func Wrap(key string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Field: key, Err: err}
}

// OneOf returns an error if more than one of the keys is set, according to the map.
func OneOf(set map[string]bool, keys ...string) error {
	var first string
	for _, k := range keys {
		switch {
		case !set[k]:
		case first == "":
			first = k
		default:
			return Wrap(k, fmt.Errorf("conflicts with %s: keep one of the two", first))
		}
	}
	return nil
}

// CheckTimeout checks the value of the key timeout, which bounds one request.
func CheckTimeout(d time.Duration) error {
	if d < 100*time.Millisecond {
		return Wrap("timeout", fmt.Errorf("%v is less than 100ms: give it a unit, as in 15s", d))
	}
	return nil
}
