package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/internal/secret"
)

// record is the JSON format of a stored grant.
type record struct {
	Version       int         `json:"version"`
	Account       string      `json:"account"`
	Provider      string      `json:"provider"`
	State         grant.State `json:"state"`
	Reason        string      `json:"reason,omitempty"`
	Generation    int64       `json:"generation"`
	ObtainedAt    time.Time   `json:"obtained_at"`
	Expiry        time.Time   `json:"expiry"`
	RefreshExpiry time.Time   `json:"refresh_expiry,omitzero"`
	tokensRecord
	Login loginRecord `json:"login,omitzero"`
}

// tokensRecord holds fields of record. It is embedded, so it is no JSON object of its own.
type tokensRecord struct {
	TokenType    string `json:"token_type,omitempty"`
	Scope        string `json:"scope,omitempty"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// loginRecord is a [grant.LoginMark] in JSON.
type loginRecord struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Adopted bool      `json:"adopted,omitempty"`
}

// decodeRecord decodes the content of a file. Its error quotes no part of it.
func decodeRecord(account string, content []byte) (grant.Grant, error) {
	var r record
	err := json.Unmarshal(content, &r)
	switch {
	case err != nil:
		return grant.Grant{}, errors.New("damaged: not the JSON of a grant")
	case r.Version > recordVersion:
		return grant.Grant{}, fmt.Errorf("written by a newer relay (version %d, this one knows %d)", r.Version, recordVersion)
	case r.Account != account:
		return grant.Grant{}, errors.New("damaged: it is the grant of another account")
	case r.Version != recordVersion, r.AccessToken == "", r.Generation < 1, r.Expiry.IsZero(),
		r.State != grant.Active && r.State != grant.ReauthorizeNeeded && r.State != grant.RefreshOutcomeUnknown:
		return grant.Grant{}, errors.New("damaged: a field is missing or makes no sense")
	}
	return grant.Grant{
		Provider:      r.Provider,
		AccessToken:   secret.New(r.AccessToken),
		RefreshToken:  secret.New(r.RefreshToken),
		TokenType:     r.TokenType,
		Scope:         r.Scope,
		ObtainedAt:    r.ObtainedAt,
		Expiry:        r.Expiry,
		RefreshExpiry: r.RefreshExpiry,
		Generation:    r.Generation,
		State:         r.State,
		Reason:        r.Reason,
		Login:         grant.LoginMark(r.Login),
	}, nil
}

// encodeRecord returns the content of a file before it is sealed.
func encodeRecord(account string, g grant.Grant) ([]byte, error) {
	content, err := json.MarshalIndent(record{
		Version:       recordVersion,
		Account:       account,
		Provider:      g.Provider,
		State:         g.State,
		Reason:        g.Reason,
		Generation:    g.Generation,
		ObtainedAt:    g.ObtainedAt,
		Expiry:        g.Expiry,
		RefreshExpiry: g.RefreshExpiry,
		tokensRecord: tokensRecord{
			TokenType:    g.TokenType,
			Scope:        g.Scope,
			AccessToken:  g.AccessToken.Reveal(),
			RefreshToken: g.RefreshToken.Reveal(),
		},
		Login: loginRecord(g.Login),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(content, '\n'), nil
}
