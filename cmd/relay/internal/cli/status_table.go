package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/treatrelay/relay/cmd/relay/internal/api"
	"github.com/treatrelay/relay/cmd/relay/internal/cli/state"
	"github.com/treatrelay/relay/cmd/relay/internal/text"
	"github.com/treatrelay/relay/socket"
)

// write writes a status as tables for people, or as JSON on one line.
func (o *statusOptions) write(out io.Writer, s *api.Status) error {
	if o.json {
		return state.WriteJSON(out, s)
	}
	t := state.NewTable(out)
	t.Row(fmt.Sprintf("relay %s is %s, running since %s.", s.Version, strings.ReplaceAll(s.State, "_", " "), s.Started.Local().Format(time.DateTime)))
	addAccounts(t, s)
	addJournal(t, s)
	addSinks(t, s)
	if len(s.NotReady)+len(s.Degraded) > 0 {
		t.Row()
	}
	for _, trouble := range s.NotReady {
		t.Row("Not ready: " + text.Printable(trouble.Text(o.Flags())))
	}
	for _, trouble := range s.Degraded {
		t.Row("Degraded: " + text.Printable(trouble.Text(o.Flags())))
	}
	return t.Flush()
}

func addAccounts(t *state.Table, s *api.Status) {
	if len(s.Accounts) == 0 {
		return
	}
	t.Row()
	t.Row("ACCOUNT", "PROVIDER", "CONNECTION", "SINCE", "LAST TREAT", "RECONNECTS", "TOKEN")
	for i := range s.Accounts {
		a := &s.Accounts[i]
		last, token, connection := "-", string(a.Token), a.Connection
		if treat := a.LastTreat; treat != nil {
			last = text.Ago(s.Time, treat.Time)
			if treat.Origin != "live" {
				last += " (" + string(treat.Origin) + ")"
			}
		}
		if !a.TokenEnds.IsZero() {
			token += ", " + text.Until(s.Time, a.TokenEnds)
		}
		if a.Transport == string(socket.Polling) {
			connection += ", " + a.Transport
		}
		t.Row(a.Account, a.Provider, connection, text.Ago(s.Time, a.Since), last, fmt.Sprint(a.Reconnects), token)
	}
}

func addJournal(t *state.Table, s *api.Status) {
	j := &s.Journal
	t.Row()
	t.Row("JOURNAL", "SERVER", "EVENTS", "BYTES", "OLDEST", "LAST MINUTE", "LAST WRITE", "WAITING")
	t.Row(j.State, j.Server, formatCount(j.Events), formatCount(j.Bytes), text.Ago(s.Time, j.Oldest), fmt.Sprint(j.LastMinute),
		text.Ago(s.Time, j.LastWrite), fmt.Sprint(j.Waiting))
}

func addSinks(t *state.Table, s *api.Status) {
	if len(s.Sinks) == 0 {
		return
	}
	t.Row()
	t.Row("SINK", "TYPE", "STATE", "PENDING", "IN FLIGHT", "RETRIES", "LAG", "DELIVERED", "LAST DELIVERY", "P50", "P99", "FAILED ATTEMPTS", "DEAD LETTERS")
	for i := range s.Sinks {
		l := &s.Sinks[i]
		lag := "-"
		if l.Lag > 0 {
			lag = formatSeconds(&l.Lag)
		}
		t.Row(l.Sink, l.Type, l.State, formatCount(l.Pending), fmt.Sprint(l.InFlight), fmt.Sprint(l.Retries), lag, fmt.Sprint(l.Delivered),
			text.Ago(s.Time, l.LastDelivery), formatSeconds(l.P50), formatSeconds(l.P99), fmt.Sprint(l.Failures), formatCount(l.DeadLetters))
	}
}

// formatCount formats a count; nil is an unknown one.
func formatCount(n *uint64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

// formatSeconds formats a duration in seconds, rounded for people; nil is none.
func formatSeconds(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d >= 2*time.Minute:
		return text.Span(d)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
