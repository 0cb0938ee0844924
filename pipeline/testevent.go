package pipeline

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// testIDPrefix begins the ids of test events, in place of that of treats.
const testIDPrefix = "tst_"

// TestEvent makes an event of the origin test, as if a treat had come at that time. Its id is its own, in a namespace of its own:
// it is never taken for a treat or the repeat of one. An empty sender makes it anonymous.
func (n *Normalizer) TestEvent(at time.Time, sender, title, message string) Event {
	date := at.In(n.Location).Format(time.DateTime)
	t := &treat{fields: [7]*string{0: &sender, 4: &title, 5: &message, 6: &date}}
	e, _ := n.normalize(t, at)
	e.Origin = OriginTest
	var key Key
	_, _ = rand.Read(key[:]) // never fails
	e.ID = testIDPrefix + strings.TrimPrefix(NewID(e.Time, key, 0), TreatIDPrefix)
	return e
}

// PutTest journals a test event: for every sink, or, if sink is not empty, for that one only. It returns when it is on disk.
// A journal that was only attached to takes it too.
func (j *Journal) PutTest(ctx context.Context, e *Event, sink string) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	r := Record{ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Type: e.Type, Line: line}
	if sink != "" {
		return j.Resend(ctx, sink, r, r.ID)
	}
	msg := nats.NewMsg(journalSubject + r.Account)
	msg.Data = r.Line
	msg.Header.Set(jetstream.MsgIDHeader, r.ID)
	msg.Header.Set(headerProvider, r.Provider)
	msg.Header.Set(headerOrigin, string(r.Origin)) // no ordinal: it counts for no repeat
	if _, err := j.publish(ctx, msg); err != nil {
		return fmt.Errorf("journal test event %s: %w", r.ID, err)
	}
	return nil
}
