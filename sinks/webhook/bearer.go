package webhook

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/treatrelay/relay/internal/secret"
)

// Bearer gives the access tokens of one account (RFC 6750). Its methods may be called by several goroutines.
type Bearer interface {
	// Token gives a valid token and its generation, which counts the tokens of the account.
	Token(ctx context.Context) (token secret.String, generation int64, err error)
	// Refresh gives a newer token than the one of that generation, which the receiver refused.
	Refresh(ctx context.Context, generation int64) (token secret.String, newer int64, err error)
}

// bearer is the use a webhook makes of an account's tokens. A token that the receiver refuses is renewed once. When the new
// one is refused too, the trouble is another, and no renewal is asked for until the account has another token.
type bearer struct {
	tokens   Bearer
	hopeless atomic.Int64 // the generation that was refused though it was fresh
}

// credential is one token, and which of the account's it is.
type credential struct {
	token      secret.String
	generation int64
}

var errHopeless = errors.New("status 401: the receiver refuses the access token of account, and refused a fresh one; check that the account is the right one")

func (b *bearer) current(ctx context.Context) (credential, error) {
	token, generation, err := b.tokens.Token(ctx)
	return credential{token, generation}, err
}

// newer gives another token than the one that was refused.
func (b *bearer) newer(ctx context.Context, refused credential) (credential, error) {
	if refused.generation == b.hopeless.Load() {
		return credential{}, errHopeless
	}
	token, generation, err := b.tokens.Refresh(ctx, refused.generation)
	return credential{token, generation}, err
}
