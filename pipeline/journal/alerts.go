package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
)

// Alerts sends the problems that lanes report to one sink, for the operator. An alert goes through the journal like an
// event, so it survives a restart.
type Alerts struct {
	journal *Journal
	sink    string
	log     zerolog.Logger
	queue   chan pipeline.Alert
}

// alertAccount is the account of alerts. No account can have this name, since names are in lower case.
const alertAccount = "RELAY"

// NewAlerts makes the alerts of a journal for a sink. Nothing is sent until the caller runs [Alerts.Run].
func NewAlerts(j *Journal, sink string, log zerolog.Logger) *Alerts {
	return &Alerts{journal: j, sink: sink, log: log, queue: make(chan pipeline.Alert, 64)}
}

// Raise sends an alert. It never blocks: in a flood of alerts, those that do not fit are only logged. It is safe for
// concurrent use.
func (a *Alerts) Raise(data pipeline.AlertData) {
	alert := pipeline.Alert{
		SpecVersion: pipeline.SpecVersion, ID: newID("alt_"), Source: "/relay", Type: pipeline.AlertType,
		Time: time.Now().UTC().Truncate(time.Millisecond), DataContentType: pipeline.DataContentType, Data: data,
	}
	select {
	case a.queue <- alert:
	default:
		a.log.Warn().Str("sink", data.Sink).Str("kind", string(data.Kind)).Msg("too many alerts at once; this one is not sent")
	}
}

// Run journals alerts until ctx ends, and then those that still wait, if the journal takes them within 2 s. Call it
// once.
func (a *Alerts) Run(ctx context.Context) {
	var left []pipeline.Alert
	for ctx.Err() == nil {
		select {
		case alert := <-a.queue:
			if a.send(ctx, alert) != nil {
				left = append(left, alert)
			}
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errAlertsLate)
	defer cancel()
	for waiting := true; waiting; {
		select {
		case alert := <-a.queue:
			left = append(left, alert)
		default:
			waiting = false
		}
	}
	for _, alert := range left {
		if err := a.send(last, alert); err != nil {
			a.log.Warn().Err(err).Str("sink", alert.Data.Sink).Str("kind", string(alert.Data.Kind)).Msg("alert not journaled, so it is not sent")
		}
	}
}

var errAlertsLate = errors.New("the journal did not store the last alerts within 2 s")

// send journals an alert, and retries until ctx ends. After an error the alert may be sent again: its id prevents a
// duplicate.
func (a *Alerts) send(ctx context.Context, alert pipeline.Alert) error {
	line, err := pipeline.EncodeJSON(alert)
	if err != nil {
		return fmt.Errorf("encode alert: %w", err)
	}
	r := pipeline.Record{ID: alert.ID, Account: alertAccount, Type: pipeline.AlertType, Line: line}
	for {
		if err = a.journal.Resend(ctx, a.sink, r, alert.ID); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}
