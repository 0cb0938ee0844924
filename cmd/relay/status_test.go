package main

import (
	"strings"
	"testing"
	"time"

	"github.com/treatrelay/relay/auth"
	"github.com/treatrelay/relay/pipeline/delivery"
	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/query"
	"github.com/treatrelay/relay/socket"
)

// What makes relay not ready is what it does not do itself. What others have to mend makes it degraded.
func TestJudgement(t *testing.T) {
	now := time.Date(2026, 7, 16, 21, 0, 0, 0, time.UTC)
	before := func(d time.Duration) time.Time { return now.Add(-d) }
	account := func(a accountStatus) func(*judgement) {
		a.Account = "a"
		return func(v *judgement) { v.ofAccount(&a, now) }
	}
	lane := func(l delivery.LaneStatus, b *query.Backlog) func(*judgement) {
		l.Sink = "s"
		return func(v *judgement) { v.ofLane(&l, b, now) }
	}
	waiting := func(d time.Duration) *query.Backlog { return &query.Backlog{Pending: 3, Oldest: before(d)} }
	for name, tt := range map[string]struct {
		judge func(*judgement)
		state string
		says  string
	}{
		"connected":            {account(accountStatus{Connection: connConnected, Token: auth.Active, TokenEnds: now.Add(time.Hour)}), stateReady, ""},
		"not connected yet":    {account(accountStatus{Connection: connConnecting}), stateNotReady, "not connected yet"},
		"just lost":            {account(accountStatus{Connection: connReconnecting, Since: before(time.Second), Reason: "EOF"}), stateDegraded, "20:59:59Z, and it tries on: EOF"},
		"lost":                 {account(accountStatus{Connection: connReconnecting, Since: before(time.Hour), Reason: "EOF"}), stateNotReady, "EOF"},
		"login needed":         {account(accountStatus{Connection: connLoginNeeded, Fix: "relay auth login a"}), stateDegraded, "relay auth login a"},
		"connected, refused":   {account(accountStatus{Connection: connConnected, Token: auth.ReauthorizeNeeded, Fix: "relay auth login a"}), stateDegraded, "reauthorize_needed: relay auth login a"},
		"only a token":         {account(accountStatus{Connection: connNone, Token: auth.Active}), stateReady, ""},
		"only an old token":    {account(accountStatus{Connection: connNone, Token: auth.Active, TokenEnds: before(time.Minute)}), stateDegraded, "could not be renewed"},
		"only a refused token": {account(accountStatus{Connection: connNone, Token: stateNotLoggedIn, Fix: "relay auth login a"}), stateDegraded, "not_logged_in"},

		"idle lane":         {lane(delivery.LaneStatus{Moved: before(time.Hour)}, &query.Backlog{}), stateReady, ""},
		"new event":         {lane(delivery.LaneStatus{Moved: before(time.Hour)}, waiting(time.Second)), stateReady, ""},
		"long backlog":      {lane(delivery.LaneStatus{Moved: before(time.Second)}, waiting(time.Hour)), stateReady, ""},
		"full lane":         {lane(delivery.LaneStatus{Moved: before(time.Hour), Load: delivery.Load{Full: true}}, waiting(time.Hour)), stateReady, ""},
		"stuck lane":        {lane(delivery.LaneStatus{Moved: before(time.Hour)}, waiting(time.Hour)), stateNotReady, "its lane is stuck: 3 events"},
		"unread journal":    {lane(delivery.LaneStatus{UnreadSince: before(time.Second), Unread: "timeout"}, &query.Backlog{}), stateNotReady, "cannot read the journal"},
		"journal away":      {lane(delivery.LaneStatus{UnreadSince: before(time.Second), Unread: "timeout"}, nil), stateReady, ""}, // told of the journal
		"down":              {lane(delivery.LaneStatus{State: journal.SinkState{DownSince: before(time.Hour), Reason: "503\nx"}}, waiting(time.Hour)), stateDegraded, "503 x"},
		"disabled and down": {lane(delivery.LaneStatus{State: journal.SinkState{DownSince: now, DisabledSince: before(time.Hour)}}, waiting(time.Hour)), stateDegraded, "disabled"},
		"accepts nothing":   {lane(delivery.LaneStatus{Load: delivery.Load{InFlight: 2, Taken: before(time.Hour)}, LastDelivery: before(time.Hour)}, &query.Backlog{}), stateDegraded, "accepts nothing"},
		"accepts slowly":    {lane(delivery.LaneStatus{Load: delivery.Load{InFlight: 2, Taken: before(time.Hour)}, LastDelivery: before(time.Second)}, &query.Backlog{}), stateReady, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var v judgement
			tt.judge(&v)
			v = v.reached()
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

// A connection that is lost counts as lost from that moment on, however often it is tried again.
func TestLink(t *testing.T) {
	var l link
	if c := l.now(); c.state != connConnecting {
		t.Errorf("at first %+v", c)
	}
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for i, tt := range []struct {
		state socket.State
		want  connection
	}{
		{socket.State{Phase: socket.Connecting, Transport: socket.WebSocket}, connection{connConnecting, at(0), "", 0, ""}},
		{socket.State{Phase: socket.Waiting, Err: errEnough}, connection{connConnecting, at(0), "enough", 0, ""}},
		{socket.State{Phase: socket.Connected, Transport: socket.WebSocket}, connection{connConnected, at(2), "", 0, socket.WebSocket}},
		{socket.State{Phase: socket.Waiting, Err: errEnough}, connection{connReconnecting, at(3), "enough", 0, ""}},
		{socket.State{Phase: socket.Connecting, Transport: socket.Polling}, connection{connReconnecting, at(3), "enough", 0, ""}},
		{socket.State{Phase: socket.Connected, Transport: socket.Polling, Err: errEnough}, connection{connConnected, at(5), "enough", 1, socket.Polling}},
		{socket.State{Phase: socket.Connected, Transport: socket.WebSocket, Upgraded: true}, connection{connConnected, at(5), "", 1, socket.WebSocket}},
		{socket.State{Phase: socket.Stopped, Err: errEnough}, connection{connConnected, at(5), "", 1, socket.WebSocket}},
	} {
		tt.state.Since = at(i)
		l.observe(tt.state)
		if got := l.now(); got != tt.want {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
	l.needLogin(errEnough)
	if c := l.now(); c.state != connLoginNeeded || c.reason != "enough" || c.reconnects != 1 {
		t.Errorf("without a login %+v", c)
	}
}
