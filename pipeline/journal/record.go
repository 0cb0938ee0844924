package journal

import (
	"cmp"
	"context"
	"fmt"

	"github.com/treatrelay/relay/pipeline"
)

// Delivery returns what a sink is handed of a record that is a Treat or a Resend.
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

// storedType is the type of an event as an entry has it.
func storedType(typ string) string {
	if typ == pipeline.EventType {
		return ""
	}
	return typ
}

// resendEntry is the entry that puts a record before one sink.
func resendEntry(sink string, r *pipeline.Record, id string) Entry {
	return Entry{
		Kind: Resend, ID: id, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: storedType(r.Type),
		Sink: sink, EventID: r.ID, Data: r.Line,
	}
}

// Resend puts a record before one sink again, after everything that is journaled already. It keeps its id, its origin is
// the record's. Of several with the same entryID that are put lately one is kept. It returns when it is on disk.
func (j *Journal) Resend(ctx context.Context, sink string, r pipeline.Record, entryID string) error {
	if _, err := j.Put(ctx, resendEntry(sink, &r, entryID)); err != nil {
		return fmt.Errorf("send event %s to sink %s again: %w", r.ID, sink, err)
	}
	return nil
}

// PutTest journals a test event: for every sink, or, if sink is not empty, for that one only. It returns when it is on disk.
// A journal that was only attached to takes it too.
func (j *Journal) PutTest(ctx context.Context, e *pipeline.Event, sink string) error {
	line, err := e.Line()
	if err != nil {
		return err
	}
	r := pipeline.Record{ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Type: e.Type, Line: line}
	if sink != "" {
		return j.Resend(ctx, sink, r, r.ID)
	}
	_, err = j.Put(ctx, Entry{ // without Repeat: it counts for no repeat
		Kind: Treat, ID: r.ID, Account: r.Account, Provider: r.Provider, Origin: r.Origin, Type: storedType(r.Type), Data: line,
	})
	if err != nil {
		return fmt.Errorf("journal test event %s: %w", r.ID, err)
	}
	return nil
}

// IsEvent reports whether an entry of the kind Treat, Import or Resend holds a treat's event, and not an alert or a digest.
func (e *Entry) IsEvent() bool { return e.Type == "" || e.Type == pipeline.EventType }
