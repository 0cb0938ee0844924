package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth/advice"
	"github.com/treatrelay/relay/auth/grant"
	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/grants"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/socket"
)

// Faults of relay itself make it unready. Faults that somebody else has to fix make it degraded.
func TestAssessment(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	account := func(a api.AccountStatus) func(*assessment) {
		a.Account = "a"
		return func(v *assessment) { v.ofAccount(&a, now) }
	}
	lane := func(l delivery.LaneStatus, b *query.Backlog) func(*assessment) {
		l.Sink = "s"
		return func(v *assessment) { v.ofLane(&l, b, now) }
	}
	login := api.HintOf(advice.Fix{Command: "relay auth login a"})
	waiting := func(d time.Duration) *query.Backlog { return &query.Backlog{Pending: 3, Oldest: before(d)} }
	for name, tt := range map[string]struct {
		assess func(*assessment)
		state  string
		says   string
	}{
		"connected":            {account(api.AccountStatus{Connection: api.ConnConnected, Token: grant.Active, TokenEnds: now.Add(time.Hour)}), api.StateReady, ""},
		"not connected yet":    {account(api.AccountStatus{Connection: api.ConnConnecting}), api.StateNotReady, "not connected yet"},
		"just lost":            {account(api.AccountStatus{Connection: api.ConnReconnecting, Since: before(time.Second), Reason: "EOF"}), api.StateDegraded, "20:59:59Z, and it tries on: EOF"},
		"lost":                 {account(api.AccountStatus{Connection: api.ConnReconnecting, Since: before(time.Hour), Reason: "EOF"}), api.StateNotReady, "EOF"},
		"login needed":         {account(api.AccountStatus{Connection: api.ConnLoginNeeded, Hint: login}), api.StateDegraded, "relay auth login a"},
		"connected, refused":   {account(api.AccountStatus{Connection: api.ConnConnected, Token: grant.ReauthorizeNeeded, Hint: login}), api.StateDegraded, "its token is reauthorize_needed; run: relay auth login a"},
		"only a token":         {account(api.AccountStatus{Connection: api.ConnNone, Token: grant.Active}), api.StateReady, ""},
		"only an old token":    {account(api.AccountStatus{Connection: api.ConnNone, Token: grant.Active, TokenEnds: before(time.Minute)}), api.StateDegraded, "could not be renewed"},
		"only a refused token": {account(api.AccountStatus{Connection: api.ConnNone, Token: grants.NotLoggedIn, Hint: login}), api.StateDegraded, "nobody has logged in yet; run: relay auth login a"},

		"idle lane":         {lane(delivery.LaneStatus{Moved: before(time.Hour)}, &query.Backlog{}), api.StateReady, ""},
		"new event":         {lane(delivery.LaneStatus{Moved: before(time.Hour)}, waiting(time.Second)), api.StateReady, ""},
		"long backlog":      {lane(delivery.LaneStatus{Moved: before(time.Second)}, waiting(time.Hour)), api.StateReady, ""},
		"full lane":         {lane(delivery.LaneStatus{Moved: before(time.Hour), Load: delivery.Load{Full: true}}, waiting(time.Hour)), api.StateReady, ""},
		"stuck lane":        {lane(delivery.LaneStatus{Moved: before(time.Hour)}, waiting(time.Hour)), api.StateNotReady, "its lane is stuck: 3 events"},
		"unread journal":    {lane(delivery.LaneStatus{UnreadSince: before(time.Second), Unread: "timeout"}, &query.Backlog{}), api.StateNotReady, "cannot read the journal"},
		"journal away":      {lane(delivery.LaneStatus{UnreadSince: before(time.Second), Unread: "timeout"}, nil), api.StateReady, ""}, // reported of the journal
		"down":              {lane(delivery.LaneStatus{State: journal.SinkState{DownSince: before(time.Hour), Reason: "503\nx"}}, waiting(time.Hour)), api.StateDegraded, "503 x"},
		"disabled and down": {lane(delivery.LaneStatus{State: journal.SinkState{DownSince: now, DisabledSince: before(time.Hour)}}, waiting(time.Hour)), api.StateDegraded, "disabled"},
		"accepts nothing":   {lane(delivery.LaneStatus{Load: delivery.Load{InFlight: 2, Taken: before(time.Hour)}, LastDelivery: before(time.Hour)}, &query.Backlog{}), api.StateDegraded, "accepts nothing"},
		"accepts slowly":    {lane(delivery.LaneStatus{Load: delivery.Load{InFlight: 2, Taken: before(time.Hour)}, LastDelivery: before(time.Second)}, &query.Backlog{}), api.StateReady, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var v assessment
			tt.assess(&v)
			v.Readiness = v.reached()
			text := ""
			for _, one := range append(v.NotReady, v.Degraded...) {
				text += one.String() + "\n"
			}
			if v.State != tt.state || !strings.Contains(text, tt.says) || strings.Count(text, "\n") > 1 {
				t.Errorf("%s: %q, want %s with %q", v.State, text, tt.state, tt.says)
			}
		})
	}
}

// A lost connection counts as lost from that moment on, however often it is retried.
func TestConnection(t *testing.T) {
	var l connTracker
	if c := l.now(); c.state != api.ConnConnecting {
		t.Errorf("at first %+v", c)
	}
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for i, tt := range []struct {
		state socket.State
		want  connection
	}{
		{socket.State{Phase: socket.Connecting, Transport: socket.WebSocket}, connection{api.ConnConnecting, at(0), "", 0, ""}},
		{socket.State{Phase: socket.Waiting, Err: errors.New("enough")}, connection{api.ConnConnecting, at(0), "enough", 0, ""}},
		{socket.State{Phase: socket.Connected, Transport: socket.WebSocket}, connection{api.ConnConnected, at(2), "", 0, socket.WebSocket}},
		{socket.State{Phase: socket.Waiting, Err: errors.New("enough")}, connection{api.ConnReconnecting, at(3), "enough", 0, ""}},
		{socket.State{Phase: socket.Connecting, Transport: socket.Polling}, connection{api.ConnReconnecting, at(3), "enough", 0, ""}},
		{socket.State{Phase: socket.Connected, Transport: socket.Polling, Err: errors.New("enough")}, connection{api.ConnConnected, at(5), "enough", 1, socket.Polling}},
		{socket.State{Phase: socket.Connected, Transport: socket.WebSocket, Upgraded: true}, connection{api.ConnConnected, at(5), "", 1, socket.WebSocket}},
		{socket.State{Phase: socket.Stopped, Err: errors.New("enough")}, connection{api.ConnConnected, at(5), "", 1, socket.WebSocket}},
	} {
		tt.state.Since = at(i)
		l.observe(tt.state)
		if got := l.now(); got != tt.want {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
	l.needLogin(errors.New("enough"))
	if c := l.now(); c.state != api.ConnLoginNeeded || c.reason != "enough" || c.reconnects != 1 {
		t.Errorf("without a login %+v", c)
	}
}
