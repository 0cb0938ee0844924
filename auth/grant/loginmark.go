package grant

import "time"

// A LoginMark is the login that a grant comes from. It outlives the tokens: a refresh keeps it.
type LoginMark struct {
	ID string    // another one for each login; empty if an older relay made it
	At time.Time // when it was made, or the first one that nobody took over
	// Adopted is true once somebody else keeps the moment; a later login then has a moment of its own.
	Adopted bool
}

// Next returns the mark of a login that was made at that time, in place of old. As long as nobody took the moment of old over, that counts.
func (old LoginMark) Next(id string, at time.Time) LoginMark {
	if !old.Adopted && !old.At.IsZero() && old.At.Before(at) {
		at = old.At
	}
	return LoginMark{ID: id, At: at}
}
