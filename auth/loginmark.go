package auth

import (
	"context"

	"github.com/treatrelay/relay/auth/grant"
)

// LoginMark returns the login that the stored grant comes from. Its errors are those of [Account.Status].
func (a *Account) LoginMark() (grant.LoginMark, error) {
	g, err := a.load()
	return g.Login, err
}

// AdoptLogin records that the caller now keeps the time of the login with that ID. It does nothing if the stored grant
// comes from another login.
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
