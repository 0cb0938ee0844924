package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/web"
	"github.com/treatrelay/relay/web/session"
)

// An assessment collects what is wrong with the parts of relay.
type assessment struct{ api.Readiness }

func (v *assessment) notReady(part, reason string, fix advice.Fix) {
	v.NotReady = append(v.NotReady, api.Trouble{Part: part, Reason: reason, Hint: api.HintOf(fix)})
}

func (v *assessment) degraded(part, reason string, fix advice.Fix) {
	v.Degraded = append(v.Degraded, api.Trouble{Part: part, Reason: reason, Hint: api.HintOf(fix)})
}

// reached returns the assessment with its state.
func (v *assessment) reached() api.Readiness {
	v.State = api.StateReady
	if len(v.Degraded) > 0 {
		v.State = api.StateDegraded
	}
	if len(v.NotReady) > 0 {
		v.State = api.StateNotReady
	}
	if v.NotReady == nil {
		v.NotReady = []api.Trouble{}
	}
	if v.Degraded == nil {
		v.Degraded = []api.Trouble{}
	}
	return v.Readiness
}

const (
	// reconnectPatience is how long a lost connection may take to come back.
	reconnectPatience = time.Minute
	// movePatience is how long a lane may take none of the events that wait for it.
	movePatience = time.Minute
	// acceptPatience is how long a sink that is not down may accept none of the events it was given.
	acceptPatience = 2 * time.Minute
)

// ofJournal assesses a journal whose state is not [api.StateOK].
func (v *assessment) ofJournal(j *api.JournalStatus) {
	if j.State != api.StateFailing {
		v.notReady("journal", j.Reason, advice.Do("check the journal's server"))
		return
	}
	v.notReady("journal", fmt.Sprintf("it cannot be written since %s, %d treats wait in memory: %s", text.Stamp(j.Since), j.Waiting, j.Reason),
		advice.Do("check the disk or the journal's server"))
}

// ofAccount assesses an account. A restart does not help an account that waits for a login, so it is degraded and not unready.
func (v *assessment) ofAccount(a *api.AccountStatus, now time.Time) {
	part := "account " + a.Account
	fix := a.Advice()
	if fix.Command != "" {
		fix.Before = "run: "
	}
	switch a.Connection {
	case api.ConnConnecting:
		v.notReady(part, cmp.Or(a.Reason, "it is not connected yet"), advice.Fix{})
		return
	case api.ConnReconnecting:
		reason := fmt.Sprintf("its connection is lost since %s, and it tries on: %s", text.Stamp(a.Since), a.Reason)
		if now.Sub(a.Since) > reconnectPatience {
			v.notReady(part, reason, advice.Fix{})
		} else {
			v.degraded(part, reason, advice.Fix{})
		}
		return
	case api.ConnLoginNeeded:
		reason := "it receives nothing until somebody logs in"
		if fix.Empty() {
			reason += ": " + a.Reason
		}
		v.degraded(part, reason, fix)
		return
	}
	switch {
	case a.Token == grants.NotLoggedIn && !fix.Empty():
		v.degraded(part, "nobody has logged in yet", fix)
	case !fix.Empty():
		v.degraded(part, fmt.Sprintf("its token is %s", a.Token), fix)
	case !a.TokenEnds.IsZero() && now.After(a.TokenEnds):
		v.degraded(part, fmt.Sprintf("its token has ended at %s and could not be renewed so far", text.Stamp(a.TokenEnds)), advice.Fix{})
	case a.Withheld > 0:
		v.degraded(part, fmt.Sprintf("%d treats of its history may be live ones in another form, and are not delivered from there", a.Withheld),
			advice.Do("compare both"))
	}
}

// ofLane assesses a lane. A fault of its destination and a request of the operator make it degraded. b is nil while the journal's
// server does not answer, which is the journal's trouble.
func (v *assessment) ofLane(l *delivery.LaneStatus, b *query.Backlog, now time.Time) {
	part := "sink " + l.Sink
	switch state, since := api.SinkStateOf(&l.State); {
	case state == api.StateDisabled:
		v.degraded(part, fmt.Sprintf("it is disabled since %s: %s", text.Stamp(since), text.Line(l.State.Reason)),
			advice.Fix{Before: "to send its events, run: ", Command: "relay sinks enable " + l.Sink})
	case state == api.StateDown:
		v.degraded(part, fmt.Sprintf("it is down since %s, and is probed: %s", text.Stamp(since), text.Line(l.State.Reason)), advice.Fix{})
	case b == nil:
	case !l.UnreadSince.IsZero():
		v.notReady(part, fmt.Sprintf("its lane cannot read the journal since %s: %s", text.Stamp(l.UnreadSince), text.Line(l.Unread)), advice.Fix{})
	case b.Pending > 0 && !l.Full && !b.Oldest.IsZero() && now.Sub(b.Oldest) > movePatience && now.Sub(l.Moved) > movePatience:
		v.notReady(part, fmt.Sprintf("its lane is stuck: %d events wait in the journal, and it has taken none since %s", b.Pending, text.Stamp(l.Moved)),
			advice.Do("restart relay, and report it"))
	case l.InFlight > 0 && now.Sub(l.Taken) > acceptPatience && now.Sub(l.LastDelivery) > acceptPatience:
		v.degraded(part, fmt.Sprintf("it accepts nothing, and the oldest of %d events waits since %s", l.InFlight, text.Stamp(l.Taken)), advice.Fix{})
	}
}

// ofPages assesses who can reach the pages. The reasons have no paths, since everybody may read /readyz.
func (v *assessment) ofPages(p *pages) {
	p.mu.Lock()
	sessions, certificate := p.sessions, p.certificate
	p.mu.Unlock()
	if sessions != nil {
		if fault, ok := errors.AsType[*session.FileError](sessions.Problem()); ok {
			v.degraded("http", "nobody can log in to the dashboard with a password: the file of "+fault.Key+" cannot be used",
				advice.Fix{Before: "see what is wrong with it: ", Command: "relay doctor"})
		}
	}
	if certificate == nil {
		return
	}
	switch problem := certificate.Problem(); {
	case problem == nil:
	case errors.Is(problem, web.ErrCertificateTime):
		v.degraded("http", "browsers refuse the certificate of http.tls: "+problem.Error(), advice.Do("renew it; relay reads the new files by itself"))
	default:
		v.degraded("http", "the files of http.tls cannot be used, and an older certificate is served",
			advice.Fix{Before: "see what is wrong with them: ", Command: "relay doctor"})
	}
}
