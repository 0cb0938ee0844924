package grants

import (
	"errors"
	"strings"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
)

// The states of an account beside those of its grant.
const (
	NotLoggedIn auth.State = "not_logged_in"
	unusable    auth.State = "unusable"
)

// Status tells how an account is. That it needs a login is no error: without a grant, only Account, Provider, State, Reason
// and Fix are set.
func Status(account *auth.Account, c config.Account) (auth.Status, error) {
	s, err := account.Status()
	s.Account, s.Provider = c.Account, c.Provider.Name
	var trouble *auth.Error
	switch {
	case err == nil:
		s.Fix = command(s.Fix)
	case errors.Is(err, auth.ErrNoGrant):
		s.State, s.Fix = NotLoggedIn, command(err.Error())
	case errors.As(err, &trouble) && trouble.Permanent():
		s.State, s.Fix, s.Reason = unusable, command(err.Error()), trouble.Err.Error()
	default:
		return s, err
	}
	return s, nil
}

// command cuts advice to the command in it, which comes last.
func command(advice string) string {
	if i := strings.LastIndex(advice, "run: "); i >= 0 {
		return advice[i+len("run: "):]
	}
	return advice
}

// FindsOut is what to do about a lost answer that relay can look into.
const FindsOut = "relay finds out by itself when the token is due"
