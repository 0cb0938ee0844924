package grant

import "time"

// A LoginMark identifies the login that a grant comes from. Refreshes keep it.
type LoginMark struct {
	ID string    // unique to the login; empty if an older relay made it
	At time.Time // time of the login, or of the first of several that nobody adopted
	// Adopted means that another component keeps the time of this login; the next login then gets its own.
	Adopted bool
}

// Next returns the mark of a login at that time that replaces old. It keeps the time of old if nobody has adopted it.
func (l LoginMark) Next(id string, at time.Time) LoginMark {
	if !l.Adopted && !l.At.IsZero() && l.At.Before(at) {
		at = l.At
	}
	return LoginMark{ID: id, At: at}
}
