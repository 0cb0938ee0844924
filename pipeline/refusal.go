package pipeline

import "errors"

type refusedError struct {
	err  error
	code string
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// Refused gives a refusal of a destination a code that is the same for every event refused for the same reason, such as "400 invalid_blocks":
// the status and the error code of the answer, and nothing of the event. A refusal with one code again and again, and no event accepted
// meanwhile, is the destination's or the configuration's fault, not the events'. The other marks of err stay.
func Refused(code string, err error) error {
	if err == nil {
		return nil
	}
	return &refusedError{err, code}
}

// RefusalCode returns the code given to [Refused], or "" if err has none.
func RefusalCode(err error) string {
	var r *refusedError
	if !errors.As(err, &r) {
		return ""
	}
	return r.code
}
