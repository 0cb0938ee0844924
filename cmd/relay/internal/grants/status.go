package grants

import (
	"errors"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

// States of an account in addition to those of a grant.
const (
	NotLoggedIn grant.State = "not_logged_in"
	unusable    grant.State = "unusable"
)

// TokenStatus is the status of an account, with or without a grant.
type TokenStatus struct {
	auth.Status
	Fix string `json:"fix,omitempty"` // only the command of Status.Fix, or its text if it has none
}

// Status returns the status of an account. An account that needs a login is no error: without a grant, only Account, Provider, State, Reason and Fix
// are set.
func Status(account *auth.Account, c config.Account) (TokenStatus, error) {
	status, err := account.Status()
	s := TokenStatus{Status: status}
	s.Account, s.Provider = c.Account, c.Provider.Name
	var trouble *auth.Error
	switch {
	case err == nil:
	case errors.Is(err, grant.ErrNone):
		s.State, s.Status.Fix = NotLoggedIn, advice.FixOf(err)
	case errors.As(err, &trouble) && trouble.Permanent():
		s.State, s.Status.Fix, s.Reason = unusable, advice.FixOf(err), trouble.Err.Error()
	default:
		return s, err
	}
	s.Fix = s.Status.Fix.Short("")
	return s, nil
}

// FindsOut is the fix for a lost answer whose outcome relay can determine.
const FindsOut = "relay finds out by itself when the token is due"
