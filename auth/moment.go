package auth

import (
	"context"
	"net/http"
	"time"
)

// A LoginMark is the login that a grant comes from. It outlives the tokens: a refresh keeps it.
type LoginMark struct {
	ID string    // another one for each login; empty if an older relay made it
	At time.Time // when it was made, or the first one that nobody took over
	// Adopted is true once somebody else keeps the moment; see [Account.AdoptLogin].
	Adopted bool
}

// How far a provider's clock may be from that of this machine to be believed instead of it.
const (
	clockAhead  = 24 * time.Hour
	clockBehind = 30 * 24 * time.Hour
)

// ServerTime is the time of an answer that arrived now, by the server's clock if its header Date is to be believed: the dates of what it
// sends are of that clock. ok is whether it is; else the time is now.
func ServerTime(header http.Header, now time.Time) (at time.Time, ok bool) {
	now = now.Round(0).UTC()
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil || date.After(now.Add(clockAhead)) || date.Before(now.Add(-clockBehind)) {
		return now, false
	}
	return date.UTC(), true
}

// mark returns the mark of a login that was made at that time, in place of old. As long as nobody took the moment of old over, that counts.
func (old LoginMark) mark(id string, at time.Time) LoginMark {
	if !old.Adopted && !old.At.IsZero() && old.At.Before(at) {
		at = old.At
	}
	return LoginMark{ID: id, At: at}
}

// LoginMark tells which login the stored grant comes from. The error is as that of [Account.Status].
func (a *Account) LoginMark() (LoginMark, error) {
	g, err := a.load()
	return g.Login, err
}

// AdoptLogin notes that somebody else keeps the moment of the login of that id from now on, if the stored grant comes from it.
func (a *Account) AdoptLogin(ctx context.Context, id string) error {
	const op = "note the login of"
	release, err := a.take(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	g, err := a.current()
	if err != nil {
		return err
	}
	if g.Login.ID != id || g.Login.Adopted {
		return nil
	}
	g.Login.Adopted = true
	_, err = a.put(g.Generation, g)
	return err
}
