package statefile

// A fixableError is an error that a person can fix.
type fixableError struct{ reason, fix string }

// Error returns the reason, and what to do about it.
func (e *fixableError) Error() string { return e.reason + "; " + e.fix }

// Fix returns what to do about the error. The error's text ends in "; " and the fix.
func (e *fixableError) Fix() string { return e.fix }
