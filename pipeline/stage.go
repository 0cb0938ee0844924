package pipeline

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Stage is one stage on the way of a treat, as a trace shows it: from receipt to on disk, or an attempt to deliver it. It holds
// nothing that a viewer wrote.
type Stage struct {
	ID       string // of the event
	Account  string
	Provider string
	Origin   Origin
	Sink     string // empty: it was received and journaled
	Seq      uint64 // in the journal; 0 if it was journaled just now
	// Attempt is the number of the attempt, as the retries of the event count: while the destination is down as a whole it
	// does not grow.
	Attempt int
	Began   time.Time
	Ended   time.Time
	// Err is why the sink did not accept it, nil if it did. Its text may name a URL or hold an answer.
	Err error
}

// traceJournaled tells of an entry that is on disk.
func (j *Journal) traceJournaled(e entry, now time.Time) {
	if j.trace == nil {
		return
	}
	id, provider := e.msg.Header.Get(jetstream.MsgIDHeader), e.msg.Header.Get(headerProvider)
	j.trace(Stage{ID: id, Account: e.account, Provider: provider, Origin: e.origin, Began: e.received, Ended: now})
}

// traceDelivered tells of an attempt that ended: of the events that were accepted, or of the first one, if none was. What is no
// treat, such as an alert, is no stage of one.
func (l *Lane) traceDelivered(of []*delivery, began time.Time, err error) {
	if l.journal.trace == nil {
		return
	}
	ended := time.Now()
	for _, d := range of {
		if r := d.record; r.Type == EventType {
			l.journal.trace(Stage{
				ID: r.ID, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Sink: l.cfg.Sink, Seq: r.Seq,
				Attempt: attempts(d) + 1, Began: began, Ended: ended, Err: err,
			})
		}
	}
}
