package pipeline

import "errors"

// A refusal is an answer by which a destination does not take a record, and will not take it if nothing changes. Whose fault that is, the record's or the
// destination's, shows in what becomes of others: a lane takes refusals in a row, with nothing accepted meanwhile, for an outage of the destination.
type refusal struct {
	err error
	all bool // most often of whatever is sent
}

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// Permanent marks the refusal of a record that is wrong in itself, as far as the destination can tell: a lane tries it again on a short schedule, and
// makes it a dead letter when it is still refused and others are accepted. While nothing is accepted the destination is down, and everything waits;
// a record that nothing can be compared with waits for a while.
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

// Denied marks the refusal of what is sent, most often whatever it is: the signature is wrong, or the route is not there. A lane handles it as
// [Permanent], but that no record becomes a dead letter before others are accepted, however long that takes.
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

// WithRefusalCode gives a refusal a code that is the same for every event refused for the same reason, such as "400 invalid_blocks": the status and the
// error code of the answer, and nothing of the event. A lane takes one code for several events in a row for the destination's or the configuration's
// fault sooner than other refusals. The marks of err stay.
func WithRefusalCode(code string, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{err, code}
}

// RefusalCode returns the code given to [WithRefusalCode], or "" if err has none.
func RefusalCode(err error) string {
	var c *codedError
	if !errors.As(err, &c) {
		return ""
	}
	return c.code
}
