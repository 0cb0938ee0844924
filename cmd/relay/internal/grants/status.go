package grants

import (
	"errors"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

// The states of an account beside those of its grant.
const (
	NotLoggedIn grant.State = "not_logged_in"
	unusable    grant.State = "unusable"
)

// TokenStatus is [auth.Status] with the states of an account that has no grant.
type TokenStatus struct {
	auth.Status
	Fix string `json:"fix,omitempty"` // the command of Status.Fix alone, or its words where there is none
}

// Status tells how an account is. That it needs a login is no error: without a grant, only Account, Provider, State, Reason
// and Fix are set.
func Status(account *auth.Account, c config.Account) (TokenStatus, error) {
	status, err := account.Status()
	s := TokenStatus{Status: status}
	s.Account, s.Provider = c.Account, c.Provider.Name
	var trouble *auth.Error
	switch {
	case err == nil:
	case errors.Is(err, grant.ErrNone):
		s.State, s.Status.Fix = NotLoggedIn, advice.Of(err)
	case errors.As(err, &trouble) && trouble.Permanent():
		s.State, s.Status.Fix, s.Reason = unusable, advice.Of(err), trouble.Err.Error()
	default:
		return s, err
	}
	s.Fix = s.Status.Fix.Short("")
	return s, nil
}

// FindsOut is what to do about a lost answer that relay can look into.
const FindsOut = "relay finds out by itself when the token is due"
