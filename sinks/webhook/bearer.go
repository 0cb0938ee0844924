package webhook

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/treatrelay/relay/internal/secret"
)

// Bearer provides the access tokens of one account (RFC 6750). It must be safe for concurrent use.
type Bearer interface {
	// Token returns a valid token and its generation, which counts the tokens of the account.
	Token(ctx context.Context) (token secret.String, generation int64, err error)
	// Refresh returns a newer token than the one of that generation, which the receiver refused.
	Refresh(ctx context.Context, generation int64) (token secret.String, newer int64, err error)
}

// bearer manages the tokens that a webhook sends. A refused token is renewed once. If the receiver refuses the new one
// too, the token is not the problem, and bearer requests no renewal until the account has another token.
type bearer struct {
	tokens   Bearer
	hopeless atomic.Int64 // the generation of a new token that was refused
}

// credential is a token with its generation.
type credential struct {
	token      secret.String
	generation int64
}

var errHopeless = errors.New("status 401: the receiver refuses the access token of account, and refused a fresh one; check that the account is the right one")

func (b *bearer) current(ctx context.Context) (credential, error) {
	token, generation, err := b.tokens.Token(ctx)
	return credential{token, generation}, err
}

// newer returns another token than the refused one.
func (b *bearer) newer(ctx context.Context, refused credential) (credential, error) {
	if refused.generation == b.hopeless.Load() {
		return credential{}, errHopeless
	}
	token, generation, err := b.tokens.Refresh(ctx, refused.generation)
	return credential{token, generation}, err
}
