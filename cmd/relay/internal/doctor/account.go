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

// dials are how many of them a connection to a realtime server may take: two to find the revision, by WebSocket and by polling.
const dials = 4

// endSoon is how long before the end of a login that only a person prolongs there is a warning.
const endSoon = 14 * 24 * time.Hour

// patient is an account under examination. Its checks are made one after the other.
type patient struct {
	*doctor
	config  config.Account
	account *auth.Account       // nil without a store
	err     error               // why there is no account though there is a store
	holds   *socket.RetryDelays // of all accounts

	alive bool          // there is an access token that has not expired
	token secret.String // of the realtime server, not used yet
}

func (d *doctor) accountTracks() []track {
	var all []track
	through := wire.NewTransport() // which also spreads the requests of many accounts
	holds := new(socket.RetryDelays)
	for _, c := range d.cfg.Accounts {
		a := &patient{doctor: d, config: c, holds: holds}
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

// login looks at the stored grant. One that has expired is renewed if no relay runs, which would do so itself.
func (a *patient) login(ctx context.Context) Finding {
	if a.err == nil && a.account == nil {
		if a.storeErr != nil || a.dirErr != nil {
			return skipped("the stored logins cannot be read")
		}
		if a.config.Provider.Grant == provider.ClientCredentials {
			return fine("none yet; relay asks for it when it first runs")
		}
		return faulty(a.howToLogIn(), "not logged in").coded(exit.Unauthorized)
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
	return a.judge(s, now)
}

// judge says how a grant is that is not dead.
func (a *patient) judge(s auth.Status, now time.Time) Finding {
	until, ends := s.Expiry.Local().Format(time.DateTime), s.RefreshExpiry
	switch {
	case !a.alive:
		return faulty(a.howToLogIn(), "expired %s and cannot be renewed", text.Ago(now, s.Expiry)).coded(exit.Unauthorized)
	case s.State == grant.RefreshOutcomeUnknown && !s.Fix.Empty():
		return warned(s.Fix, "%s", s.Reason)
	case s.State == grant.RefreshOutcomeUnknown:
		return warned(advice.Do(grants.FindsOut), "%s", s.Reason)
	case !s.Refreshable && a.config.Provider.Grant != provider.ClientCredentials:
		fix := a.howToLogIn()
		fix.After += " before that"
		return warned(fix, "valid until %s, and cannot be renewed", until)
	case !ends.IsZero() && ends.Sub(now) < endSoon:
		return warned(a.howToLogIn(), "valid until %s; the login ends on %s unless a renewal prolongs it", until, text.Day(ends))
	case !ends.IsZero():
		return fine("valid until %s; the login lasts until %s", until, text.Day(ends))
	}
	return fine("valid until %s", until)
}

func (a *patient) howToLogIn() advice.Fix {
	if a.config.Provider.Grant == provider.PersonalToken {
		return advice.Fix{Before: "make a token at " + a.config.Provider.TokenPage + " and run: ", Command: "relay auth import " + a.config.Account}
	}
	return advice.Run(advice.Login(a.config.Account))
}

// refused makes a finding of an error of auth.
func (a *patient) refused(err error) Finding {
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
		if text, fix = advice.Cut(trouble.Err); fix.Empty() {
			fix = a.howToLogIn()
		}
	}
	if trouble.Permanent() {
		return faulty(fix, "%s", text).coded(exit.Unauthorized)
	}
	return faulty(advice.Do("check the network and endpoints of the account; relay itself tries again"), "%s", text)
}

// probe tries the access token where there is a request for that.
func (a *patient) probe(ctx context.Context) Finding {
	if !a.alive {
		return skipped("there is no valid token")
	}
	if err := a.account.Probe(ctx); err != nil {
		return a.refused(err)
	}
	return fine("the provider takes the token")
}

// socketToken asks for a token of the realtime server, with the stored access token and without consequences.
func (a *patient) socketToken(ctx context.Context) Finding {
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

var errSeen = errors.New("enough was seen of the realtime server")

// socket connects to the realtime server and leaves as soon as it has let relay in. What it sends meanwhile is dropped: a relay
// that runs receives it on its own connection, and one that does not finds it in the history.
func (a *patient) socket(ctx context.Context) Finding {
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
		case running.Err() != nil: // seen already
		case s.Phase == socket.Connected || s.Phase == socket.Waiting:
			found = s
			leave(errSeen)
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

// query gives a socket token, which serves once: the first is at hand.
func (a *patient) query(ctx context.Context) (url.Values, error) {
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
