package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"
)

// Alerts hands what lanes say of their sinks to one sink that tells the operator. An alert goes through the journal like
// an event, so it is delivered even if relay ends before.
type Alerts struct {
	journal *Journal
	sink    string
	log     zerolog.Logger
	queue   chan Alert
}

// alertAccount is whose queue alerts wait in. No account can have this name, for names are in small letters.
const alertAccount = "RELAY"

// NewAlerts makes the alerts of a journal, told to the sink of that name. [Alerts.Run] must run.
func NewAlerts(j *Journal, sink string, log zerolog.Logger) *Alerts {
	return &Alerts{journal: j, sink: sink, log: log, queue: make(chan Alert, 64)}
}

// Raise tells of an alert. It does not wait: in a flood of alerts the log has those that are not sent. It may be called by
// several goroutines.
func (a *Alerts) Raise(data AlertData) {
	alert := Alert{
		SpecVersion: SpecVersion, ID: "alt_" + nuid.Next(), Source: "/relay", Type: AlertType,
		Time: time.Now().UTC().Truncate(time.Millisecond), DataContentType: DataContentType, Data: data,
	}
	select {
	case a.queue <- alert:
	default:
		a.log.Warn().Str("sink", data.Sink).Str("kind", string(data.Kind)).Msg("too many alerts at once; this one is not sent")
	}
}

// Run journals alerts until ctx ends, and then those that wait already, if the journal takes them within 2 s.
func (a *Alerts) Run(ctx context.Context) {
	var left []Alert
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

var errAlertsLate = errors.New("the journal did not take the last alerts within 2 s")

// send journals an alert, however long that takes. Its error says why that was not done when ctx ended; the alert may be
// sent again then, for its id tells that it is the same.
func (a *Alerts) send(ctx context.Context, alert Alert) error {
	line, err := EncodeJSON(alert)
	if err != nil {
		return fmt.Errorf("encode alert: %w", err)
	}
	r := Record{ID: alert.ID, Account: alertAccount, Type: AlertType, Line: line}
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
