package auth

import (
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// Token is an access token that is on disk.
type Token struct {
	AccessToken secret.String
	Expiry      time.Time
	Generation  int64 // pass it to [Account.Refresh] if the token is refused
	Login       grant.LoginMark

	obtained time.Time
}

// Status describes a grant without its secrets. Expiry and RefreshExpiry are zero once the grant has ended.
type Status struct {
	Account       string      `json:"account"`
	Provider      string      `json:"provider"`
	State         grant.State `json:"state"`
	Reason        string      `json:"reason,omitempty"`
	ObtainedAt    time.Time   `json:"obtained_at,omitzero"`
	Expiry        time.Time   `json:"expiry,omitzero"`
	RefreshExpiry time.Time   `json:"refresh_expiry,omitzero"`
	Refreshable   bool        `json:"refreshable"`
	Generation    int64       `json:"generation"`
	Fix           advice.Fix  `json:"-"` // what a person must do; may be empty
}

func tokenOf(g grant.Grant) Token {
	return Token{AccessToken: g.AccessToken, Expiry: g.Expiry, Generation: g.Generation, Login: g.Login, obtained: g.ObtainedAt}
}
