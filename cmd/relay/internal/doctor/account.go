package doctor

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/auth/provider"
	"github.com/treatrelay/relay/auth/wire"
	"github.com/treatrelay/relay/cmd/relay/internal/config"
	"github.com/treatrelay/relay/cmd/relay/internal/exit"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/internal/secret"
	"github.com/treatrelay/relay/socket"
)

// dials is how many dials a connection to a realtime server may need: two revisions, each by WebSocket and by polling.
const dials = 4

// endSoon is how long before its end a login that only a person can renew causes a warning.
const endSoon = 14 * 24 * time.Hour

// accountChecks are the checks of one account, which run in sequence.
type accountChecks struct {
	*doctor
	config  config.Account
	account *auth.Account       // nil without a store
	err     error               // why account is nil although there is a store
	holds   *socket.RetryDelays // of all accounts

	alive bool          // there is an access token that has not expired
	token secret.String // for the realtime server, not used yet
}

func (d *doctor) accountTracks() []track {
	var all []track
	through := wire.NewTransport() // which also spaces the requests of many accounts
	holds := new(socket.RetryDelays)
	for _, c := range d.cfg.Accounts {
		a := &accountChecks{doctor: d, config: c, holds: holds}
		if d.store != nil {
			a.account, a.err = grants.NewAccount(c, d.store, through, nil, zerolog.Nop())
		}
		t := track{{"token", c.Account, renewalLimit, a.login}}
		switch {
		case c.Receives():
			t = append(t, check{"socket-token", c.Account, renewalLimit, a.socketToken}, check{"socket", c.Account, dials * d.cfg.Socket.HandshakeTimeout, a.socket})
		case c.Provider.Endpoints.Probe != "":
			t = append(t, check{"probe", c.Account, renewalLimit, a.probe})
		}
		all = append(all, t)
	}
	return all
}

// login checks the stored grant. If its token has expired and no relay runs, which would renew it, login does.
func (a *accountChecks) login(ctx context.Context) Finding {
	if a.err == nil && a.account == nil {
		if a.storeErr != nil || a.dirErr != nil {
			return skipped("the stored logins cannot be read")
		}
		if a.config.Provider.Grant == provider.ClientCredentials {
			return fine("none yet; relay asks for it when it first runs")
		}
		return faulty(a.loginFix(), "not logged in").coded(exit.Unauthorized)
	}
	if a.err != nil {
		return faulty(advice.Do("correct the account in the configuration"), "%v", a.err).coded(exit.Config)
	}
	s, err := a.account.Status()
	if err != nil {
		return a.refused(err)
	}
	if !s.Fix.Empty() && s.State != grant.RefreshOutcomeUnknown {
		return faulty(s.Fix, "%s: %s", s.State, s.Reason).coded(exit.Unauthorized)
	}
	now := time.Now()
	if !now.Before(s.Expiry) && s.Refreshable {
		if a.runs || a.silent != nil {
			return warned(advice.Do("see the log of the relay that runs"), "expired %s; the relay that runs renews it", text.Ago(now, s.Expiry))
		}
		if _, err := a.account.Token(ctx); err != nil {
			return a.refused(err)
		}
		if s, err = a.account.Status(); err != nil {
			return a.refused(err)
		}
	}
	a.alive = now.Before(s.Expiry)
	return a.loginFinding(s, now)
}

// loginFinding returns the finding of a usable grant.
func (a *accountChecks) loginFinding(s auth.Status, now time.Time) Finding {
	until, ends := s.Expiry.Local().Format(time.DateTime), s.RefreshExpiry
	switch {
	case !a.alive:
		return faulty(a.loginFix(), "expired %s and cannot be renewed", text.Ago(now, s.Expiry)).coded(exit.Unauthorized)
	case s.State == grant.RefreshOutcomeUnknown && !s.Fix.Empty():
		return warned(s.Fix, "%s", s.Reason)
	case s.State == grant.RefreshOutcomeUnknown:
		return warned(advice.Do(grants.FindsOut), "%s", s.Reason)
	case !s.Refreshable && a.config.Provider.Grant != provider.ClientCredentials:
		fix := a.loginFix()
		fix.After += " before that"
		return warned(fix, "valid until %s, and cannot be renewed", until)
	case !ends.IsZero() && ends.Sub(now) < endSoon:
		return warned(a.loginFix(), "valid until %s; the login ends on %s unless a renewal prolongs it", until, text.Day(ends))
	case !ends.IsZero():
		return fine("valid until %s; the login lasts until %s", until, text.Day(ends))
	}
	return fine("valid until %s", until)
}

func (a *accountChecks) loginFix() advice.Fix {
	if a.config.Provider.Grant == provider.PersonalToken {
		return advice.Fix{Before: "make a token at " + a.config.Provider.TokenPage + " and run: ", Command: "relay auth import " + a.config.Account}
	}
	return advice.Run(advice.Login(a.config.Account))
}

// refused returns the finding of an error of an account.
func (a *accountChecks) refused(err error) Finding {
	trouble, ok := errors.AsType[*auth.Error](err)
	if !ok {
		return faulty(advice.Do("check the network and endpoints of the account"), "%v", err)
	}
	text, fix := trouble.Err.Error(), trouble.Fix
	switch {
	case auth.RefusesClient(err):
		return faulty(advice.Do("correct client_id and client_secret in the configuration"), "%s", text).coded(exit.Config)
	case errors.Is(err, auth.ErrRefused):
		fix := advice.Fix{Before: "run: ", Command: "relay auth refresh " + a.config.Account, After: ", and log in again if that is refused too"}
		return faulty(fix, "%s", text).coded(exit.Unauthorized)
	case errors.Is(err, grant.ErrUnusable) && fix.Empty():
		if text, fix = advice.Split(trouble.Err); fix.Empty() {
			fix = a.loginFix()
		}
	}
	if trouble.Permanent() {
		return faulty(fix, "%s", text).coded(exit.Unauthorized)
	}
	return faulty(advice.Do("check the network and endpoints of the account; relay itself tries again"), "%s", text)
}

// probe tries the access token, at a provider that has a harmless request for that.
func (a *accountChecks) probe(ctx context.Context) Finding {
	if !a.alive {
		return skipped("there is no valid token")
	}
	if err := a.account.Probe(ctx); err != nil {
		return a.refused(err)
	}
	return fine("the provider takes the token")
}

// socketToken requests a token for the realtime server, with the stored access token. It changes nothing.
func (a *accountChecks) socketToken(ctx context.Context) Finding {
	if !a.alive {
		return skipped("there is no valid token")
	}
	token, err := a.account.TrySocketToken(ctx)
	if err != nil {
		return a.refused(err)
	}
	a.token = token
	return fine("the provider gives one")
}

var errConnected = errors.New("the realtime server has answered")

// socket connects to the realtime server, and disconnects at once. Treats that arrive meanwhile are dropped: a running relay receives them on its
// own connection, and a later one finds them in the history.
func (a *accountChecks) socket(ctx context.Context) Finding {
	if a.token.Empty() {
		return skipped("there is no socket token")
	}
	var found socket.State
	running, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	config := a.cfg.Socket.Client(a.holds)
	config.URL, config.Protocol, config.Query, config.Log = a.account.Endpoints().Socket, a.config.Protocol, a.query, zerolog.Nop()
	config.Dial.PollAtOnce = true // there is one attempt
	config.OnState = func(s socket.State) {
		switch {
		case running.Err() != nil: // disconnecting
		case s.Phase == socket.Connected || s.Phase == socket.Waiting:
			found = s
			leave(errConnected)
		}
	}
	client, err := socket.New(config)
	if err != nil {
		return faulty(advice.Do("correct endpoints.socket of the account"), "%v", err).coded(exit.Config)
	}
	if err := client.Run(running, func(context.Context, socket.Event) error { return nil }); err != nil {
		return a.refused(err)
	}
	switch {
	case found.Phase == socket.Connected && found.Transport == socket.Polling:
		return warned(advice.Do("have the proxy pass WebSocket upgrades on; until then relay goes by long-polling, which works but is slower"),
			"connected by HTTP long-polling, Engine.IO %v; no WebSocket: %v", found.Protocol, found.Err)
	case found.Phase == socket.Connected:
		return fine("connected by WebSocket, Engine.IO %v", found.Protocol)
	case found.Phase == socket.Waiting:
		return faulty(advice.Do("check endpoints.socket and protocol of the account, and the network; relay itself tries again"), "%v", found.Err)
	}
	return faulty(advice.Do("check the network; relay itself tries again"), "%v", context.Cause(ctx))
}

// query returns a socket token, which works once. The first is the one of the check socket-token.
func (a *accountChecks) query(ctx context.Context) (url.Values, error) {
	token := a.token
	a.token = secret.String{}
	if token.Empty() {
		var err error
		if token, err = a.account.TrySocketToken(ctx); err != nil {
			return nil, err
		}
	}
	return url.Values{"token": {token.Reveal()}}, nil
}
