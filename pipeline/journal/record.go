package journal

import (
	"cmp"
	"context"
	"fmt"

	"github.com/treatrelay/relay/pipeline"
)

// Delivery returns what a sink gets of a Treat or Resend.
func (r *Record) Delivery() pipeline.Record {
	id := r.ID
	if r.Kind == Resend {
		id = r.EventID
	}
	return pipeline.Record{
		Seq: r.Number, ID: id, Account: r.Account, Provider: r.Provider, Origin: r.Origin,
		Type: cmp.Or(r.Type, pipeline.EventType), Line: r.Data,
	}
}

// storedType returns the type of an event as stored in an entry.
func storedType(typ string) string {
	if typ == pipeline.EventType {
		return ""
	}
	return typ
}

// resendEntry returns the entry that sends a record to one sink.
func resendEntry(sink string, r *pipeline.Record, id string) Entry {
	return Entry{
		Kind: Resend, ID: id, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: storedType(r.Type),
		Sink: sink, EventID: r.ID, Data: r.Line,
	}
}

// Resend sends a record to one sink, after everything journaled so far. The record keeps its id and origin. If several
// are sent with the same entryID within a short time, one is kept. It returns once the entry is on disk.
func (j *Journal) Resend(ctx context.Context, sink string, r pipeline.Record, entryID string) error {
	if _, err := j.Put(ctx, resendEntry(sink, &r, entryID)); err != nil {
		return fmt.Errorf("send event %s to sink %s again: %w", r.ID, sink, err)
	}
	return nil
}

// PutTest journals a test event for all sinks, or for one if sink is not empty. It returns once the entry is on disk.
// It also works on an attached journal.
func (j *Journal) PutTest(ctx context.Context, e *pipeline.Event, sink string) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	r := pipeline.Record{ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Type: e.Type, Line: line}
	if sink != "" {
		return j.Resend(ctx, sink, r, r.ID)
	}
	_, err = j.Put(ctx, Entry{ // without Repeat: it does not count as a repeat
		Kind: Treat, ID: r.ID, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: storedType(r.Type), Data: line,
	})
	if err != nil {
		return fmt.Errorf("journal test event %s: %w", r.ID, err)
	}
	return nil
}

// IsEvent reports whether an entry of the kind Treat, Import or Resend holds a treat's event, and not an alert or a digest.
func (e *Entry) IsEvent() bool { return e.Type == "" || e.Type == pipeline.EventType }
