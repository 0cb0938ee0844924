package pipeline

import (
	"context"
	"errors"
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
	for {
		select {
		case alert := <-a.queue:
			a.send(ctx, alert)
			continue
		case <-ctx.Done():
		}
		break
	}
	last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 2*time.Second, errAlertsLate)
	defer cancel()
	for {
		select {
		case alert := <-a.queue:
			a.send(last, alert)
		default:
			return
		}
	}
}

var errAlertsLate = errors.New("the journal did not take the last alerts within 2 s")

// send journals an alert, however long that takes, but not beyond ctx.
func (a *Alerts) send(ctx context.Context, alert Alert) {
	line, err := encode(alert)
	if err != nil {
		a.log.Error().Err(err).Msg("alert cannot be encoded")
		return
	}
	r := Record{ID: alert.ID, Account: alertAccount, Type: AlertType, Line: line}
	for {
		if err = a.journal.Resend(ctx, a.sink, r, alert.ID); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			a.log.Warn().Err(err).Str("sink", alert.Data.Sink).Str("kind", string(alert.Data.Kind)).Msg("alert not journaled, so it is not sent")
			return
		case <-time.After(time.Second):
		}
	}
}
