package daemon

import (
	"cmp"
	"fmt"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal/query"
)

// An assessment is a judgement that is being reached.
type assessment struct{ api.Readiness }

func (v *assessment) notReady(part, reason string) {
	v.NotReady = append(v.NotReady, api.Trouble{Part: part, Reason: reason})
}

func (v *assessment) degraded(part, reason string) {
	v.Degraded = append(v.Degraded, api.Trouble{Part: part, Reason: reason})
}

// reached is the judgement with its state.
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
	// reconnectPatience is how long a lost connection may take to come back: networks and servers come and go.
	reconnectPatience = time.Minute
	// movePatience is for how long a lane may take nothing of what waits for it. It asks all the time.
	movePatience = time.Minute
	// acceptPatience is for how long a sink that is not down may accept nothing of what it is given.
	acceptPatience = 2 * time.Minute
)

// ofAccount judges an account. No restart helps one that waits for somebody to log in, so it is no reason to be not
// ready.
func (v *assessment) ofAccount(a *api.AccountStatus, now time.Time) {
	part := "account " + a.Account
	switch a.Connection {
	case api.ConnConnecting:
		v.notReady(part, cmp.Or(a.Reason, "it is not connected yet"))
		return
	case api.ConnReconnecting:
		reason := fmt.Sprintf("its connection is lost since %s, and it tries on: %s", text.Stamp(a.Since), a.Reason)
		if now.Sub(a.Since) > reconnectPatience {
			v.notReady(part, reason)
		} else {
			v.degraded(part, reason)
		}
		return
	case api.ConnLoginNeeded:
		v.degraded(part, "it receives nothing until somebody logs in: "+cmp.Or(a.Fix, a.Reason))
		return
	}
	switch {
	case a.Fix != "":
		v.degraded(part, fmt.Sprintf("its token is %s: %s", a.Token, a.Fix))
	case !a.TokenEnds.IsZero() && now.After(a.TokenEnds):
		v.degraded(part, fmt.Sprintf("its token has ended at %s and could not be renewed so far", text.Stamp(a.TokenEnds)))
	case a.Withheld > 0:
		v.degraded(part, fmt.Sprintf("%d treats of its history may be live ones in another form, and are not delivered from there; compare both", a.Withheld))
	}
}

// ofLane judges a lane. What its destination does, or the operator has asked for, is no reason to be not ready. b is nil while the
// journal's server does not answer, which is the journal's trouble.
func (v *assessment) ofLane(l *delivery.LaneStatus, b *query.Backlog, now time.Time) {
	part := "sink " + l.Sink
	switch {
	case !l.State.DisabledSince.IsZero():
		v.degraded(part, fmt.Sprintf("it is disabled since %s: %s; relay sinks enable %s sends its events", text.Stamp(l.State.DisabledSince), text.Line(l.State.Reason), l.Sink))
	case !l.State.DownSince.IsZero():
		v.degraded(part, fmt.Sprintf("it is down since %s, and is probed: %s", text.Stamp(l.State.DownSince), text.Line(l.State.Reason)))
	case b == nil:
	case !l.UnreadSince.IsZero():
		v.notReady(part, fmt.Sprintf("its lane cannot read the journal since %s: %s", text.Stamp(l.UnreadSince), text.Line(l.Unread)))
	case b.Pending > 0 && !l.Full && !b.Oldest.IsZero() && now.Sub(b.Oldest) > movePatience && now.Sub(l.Moved) > movePatience:
		v.notReady(part, fmt.Sprintf("its lane is stuck: %d events wait in the journal, and it has taken none since %s; restart relay, and report it", b.Pending, text.Stamp(l.Moved)))
	case l.InFlight > 0 && now.Sub(l.Taken) > acceptPatience && now.Sub(l.LastDelivery) > acceptPatience:
		v.degraded(part, fmt.Sprintf("it accepts nothing, and the oldest of %d events waits since %s", l.InFlight, text.Stamp(l.Taken)))
	}
}
