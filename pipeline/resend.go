package pipeline

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// resendSubject is that of messages for one sink only: relay.resend.<sink>.<account>. They carry an event that goes to that sink
// again, or an alert.
const resendSubject = "relay.resend."

// Headers of such a message, beside those of a journaled event. Its Nats-Msg-Id is its own.
const (
	headerID   = "Relay-Id"   // of the event
	headerType = "Relay-Type" // of the event, if not EventType
)

// Resend puts a record before one sink again, after everything that is journaled already. It keeps its id, its origin is
// the record's. Of several with the same msgID within [DedupWindow] one is kept. It returns when it is on disk.
func (j *Journal) Resend(ctx context.Context, sink string, r Record, msgID string) error {
	if _, err := j.publish(ctx, resend(sink, r, msgID)); err != nil {
		return fmt.Errorf("send event %s to sink %s again: %w", r.ID, sink, err)
	}
	return nil
}

// resend is the message that does so.
func resend(sink string, r Record, msgID string) *nats.Msg {
	msg := nats.NewMsg(resendSubject + sink + "." + r.Account)
	msg.Data = r.Line
	msg.Header.Set(jetstream.MsgIDHeader, msgID)
	msg.Header.Set(headerID, r.ID)
	msg.Header.Set(headerProvider, r.Provider)
	msg.Header.Set(headerOrigin, string(r.Origin))
	if r.Type != EventType && r.Type != "" {
		msg.Header.Set(headerType, r.Type)
	}
	return msg
}

// recordOf reads a message of the journal or of a resend.
func recordOf(seq uint64, subject string, h nats.Header, line []byte) Record {
	r := Record{
		Seq: seq, ID: h.Get(jetstream.MsgIDHeader), Account: subject[strings.LastIndexByte(subject, '.')+1:],
		Provider: h.Get(headerProvider), Origin: Origin(h.Get(headerOrigin)), Type: EventType, Line: line,
	}
	if id := h.Get(headerID); id != "" {
		r.ID = id
	}
	if typ := h.Get(headerType); typ != "" {
		r.Type = typ
	}
	return r
}
