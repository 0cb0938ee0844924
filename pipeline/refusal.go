package pipeline

import "errors"

// A refusal means that the destination does not take a record, and will not unless something changes. The fate of other
// records shows whose fault that is: a lane treats refusals in a row, without an accepted record in between, as an
// outage.
type refusal struct {
	err error
	all bool // it would most likely refuse any record
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// Permanent marks the refusal of a record as the record's fault, as far as the destination can tell. A lane retries it
// on a short schedule. If it is still refused while others are accepted, it becomes a dead letter. While nothing is
// accepted, the destination counts as down and everything waits. A record without others to compare with waits for a
// while.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err: err}
}

// IsPermanent reports whether err was marked by [Permanent].
func IsPermanent(err error) bool {
	var r *refusal
	return errors.As(err, &r) && !r.all
}

// Denied marks the refusal of a record that most likely concerns all records: the signature is wrong, or the route does
// not exist. A lane handles it like [Permanent], except that no record becomes a dead letter before others are
// accepted, however long that takes.
func Denied(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err: err, all: true}
}

// IsDenied reports whether err was marked by [Denied].
func IsDenied(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.all
}

// IsRefusal reports whether err was marked by [Permanent] or [Denied].
func IsRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

type codedError struct {
	err  error
	code string
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// WithRefusalCode attaches a code to a refusal that is the same for every event refused for the same reason, such as
// "400 invalid_blocks": the status and error code of the answer, and nothing of the event. If several events in a row
// have the same code, a lane blames the destination or the configuration sooner. Other marks of err stay.
func WithRefusalCode(code string, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{err, code}
}

// RefusalCode returns the code set with [WithRefusalCode], or "".
func RefusalCode(err error) string {
	var c *codedError
	if !errors.As(err, &c) {
		return ""
	}
	return c.code
}
