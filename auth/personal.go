package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/reply"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/internal/secret"
)

// personalLimit is the maximum size of a personal token in bytes. Real ones have about a thousand.
const personalLimit = 16 << 10

// ImportToken makes a [provider.PersonalToken] the grant of the account and replaces any stored one. It first tries the
// token at the provider, and does not save one that is refused. If the provider cannot be reached, it saves the token
// unchecked; the log and [Status].Reason say so. The token expires at its own exp if it is a JWT (RFC 7519 section
// 4.1.4), and after the provider's access lifetime at the latest. exp is not verified, but refreshing too early is
// harmless.
func (a *Account) ImportToken(ctx context.Context, token secret.String) error {
	const op = "import token of"
	release, err := a.take(ctx, op)
	if err != nil {
		return err
	}
	defer release()
	if a.provider.Grant != provider.PersonalToken {
		return a.fail(op, errors.New(a.provider.Title+" gives no tokens to people; "+a.advice().String()))
	}
	now := time.Now().Round(0).UTC()
	token, err = readPersonal(token)
	if err == nil {
		err = stillGood(token, now)
	}
	if err != nil {
		return a.wantPersonal(op, err)
	}
	issued, expiry := lifeOf(token, now, a.provider.Lifetimes.Access)
	doubt, err := a.tryPersonal(ctx, token)
	if err != nil {
		return err
	}
	// Ignore a damaged grant: an import repairs it.
	old, _ := a.store.Load(a.name)
	g, err := a.put(old.Generation, grant.Grant{
		Provider:    a.provider.Name,
		AccessToken: token,
		TokenType:   "Bearer",
		ObtainedAt:  issued,
		Expiry:      expiry,
		Generation:  old.Generation + 1,
		State:       grant.Active,
		Reason:      doubt,
	})
	if err != nil {
		return err
	}
	a.state.retry.reset()
	a.state.refusals = refusals{}
	a.log.Info().Int64("generation", g.Generation).Time("expiry", g.Expiry).Msg("token imported")
	return nil
}

// tryPersonal tries a token before its import. doubt says why that was not possible. Here a 401 counts as a refusal
// whatever its text: the user is present and can try again, and the stored grant stays.
func (a *Account) tryPersonal(ctx context.Context, token secret.String) (doubt string, err error) {
	const op = "import token of"
	if !a.canProbe() {
		return "not checked: there is no way to try a token at " + a.provider.Title, nil
	}
	switch f := wire.AsFailure(a.tryToken(ctx, Token{AccessToken: token})); {
	case f == nil:
		return "", nil
	case f.Kind == wire.Refused, f.Kind == wire.Rejected && f.Status == http.StatusUnauthorized && !f.Page:
		return "", a.wantPersonal(op, fmt.Errorf("%s refused the token: %w", a.provider.Title, f))
	case ctx.Err() != nil:
		return "", a.fail(op, f)
	default:
		a.log.Warn().Str("reason", f.Error()).Msg("the token could not be tried at the provider, and is saved all the same")
		return "not checked: " + f.Error(), nil
	}
}

// wantPersonal returns the error for an unusable token. It has a Fix even if nothing was stored.
func (a *Account) wantPersonal(op string, why error) error {
	e := a.fail(op, why)
	e.Fix = a.advice()
	return e
}

// readPersonal checks that text from a clipboard or a file can be a token and nothing else. Its error quotes no part of
// it.
func readPersonal(text secret.String) (secret.String, error) {
	plain := strings.TrimSpace(text.Reveal())
	if len(plain) > len("Bearer ") && strings.EqualFold(plain[:len("Bearer ")], "Bearer ") {
		plain = strings.TrimSpace(plain[len("Bearer "):])
	}
	// RFC 6750 section 2.1 lists the characters of a bearer token.
	invalid := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\,;`, r) }
	switch {
	case plain == "":
		return secret.String{}, errors.New("no token was given")
	case len(plain) > personalLimit:
		return secret.String{}, errors.New("the text is too long to be a token")
	case strings.ContainsFunc(plain, invalid):
		return secret.String{}, errors.New("the text is more than a token; give the token alone, on one line")
	}
	return secret.New(plain), nil
}

// claims returns the times in a JWT; zero if there are none. It does not verify the signature, because the provider's
// key is unknown here.
func claims(token secret.String) (issued, expiry time.Time) {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		return time.Time{}, time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, time.Time{}
	}
	fields, err := reply.Object(payload)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	return reply.Epoch(fields["iat"]), reply.Epoch(fields["exp"])
}

// stillGood rejects a token that has expired by its own exp.
func stillGood(token secret.String, now time.Time) error {
	if _, expiry := claims(token); !expiry.IsZero() && !expiry.After(now) {
		return fmt.Errorf("the token expired on %s", expiry.UTC().Format(time.DateOnly))
	}
	return nil
}

// lifeOf returns when a personal token was issued and when it expires, given that it was received now.
func lifeOf(token secret.String, now time.Time, longest time.Duration) (issued, expiry time.Time) {
	issued, expiry = claims(token)
	if issued.IsZero() || issued.After(now) || now.Sub(issued) > longest {
		issued = now
	}
	if latest := now.Add(longest); expiry.IsZero() || expiry.After(latest) {
		expiry = latest
	}
	return issued.UTC(), expiry.UTC()
}
