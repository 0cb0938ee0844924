package auth

import (
	"context"

	"github.com/treatrelay/relay/auth/grant"
)

// LoginMark tells which login the stored grant comes from. The error is as that of [Account.Status].
func (a *Account) LoginMark() (grant.LoginMark, error) {
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
