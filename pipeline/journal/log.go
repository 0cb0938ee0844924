// Package journal stores everything that relay must not lose: a durable log of numbered entries, and a small state
// beside it. It defines the contracts of both, and the meaning of the entries.
//
// An entry is durable when its writer is told so. A number is never reused, even if the end of the log is lost.
//
// It does not depend on an engine: see packages filelog, statefile and jetstream. Start reading at [Log] and [State], the
// interfaces of an engine, and at [Journal], which the rest of relay uses. The file commit.go writes, and deadtable.go
// derives the dead letters.
package journal

import (
	"context"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Kind is the kind of an entry. Kinds are stored, so their numbers never change.
type Kind uint8

// The kinds.
const (
	// Treat is an event of an account for all sinks: live, backfilled or a test.
	Treat Kind = 1
	// Reject is a payload that cannot be a treat, see [RejectedPayload].
	Reject Kind = 2
	// Backfill is a [BackfillBatch]: the events of an account that one comparison with the history has backfilled.
	Backfill Kind = 3
	// Known holds treats that an account's history held at its baseline.
	Known Kind = 4
	// Resend is an event or alert for one sink only: a replay, a redriven dead letter, a test. Ref is the number of the
	// dead letter that it redrives; 0: it is not a redrive.
	Resend Kind = 5
	// Dead is a [DeadLetter]. Ref is the number of the entry that the sink refused.
	Dead Kind = 6
	// Purge deletes the dead letter Ref.
	Purge Kind = 7
	// Import is an event of another journal, from the output of relay export. It is known, listed and replayed like a
	// Treat, but not delivered.
	Import Kind = 8
	// AttemptLines are attempts to deliver, many in an entry. They have a log of their own, see package attempts.
	AttemptLines Kind = 9
)

// Entry is the content of a record. Which fields are set depends on the kind.
type Entry struct {
	Kind Kind
	// ID is unique in the journal. For a Treat it is the event's id. If an entry is appended again with the same ID,
	// because the outcome of the first attempt is unknown, it is stored once.
	ID       string
	Time     time.Time // when it was journaled; set by [Journal]; never decreases
	Account  string
	Provider string
	Origin   pipeline.Origin
	Type     string // of the event, if it is not [pipeline.EventType]
	Sink     string // of Resend, Dead and Purge
	EventID  string // of Resend and Dead: the event's id
	Repeat   uint64 // of a Treat: its ordinal among exact repeats plus one; 0: not counted
	Baseline string // of Known, and of a Treat of a baseline: the baseline's id
	// Ref is the number of another entry. For a Treat or Backfill it is the damaged entry that this one replaces: a
	// sink that had accepted that one does not get this one.
	Ref uint64
	// Was is the origin of the entry that a Treat with a Ref replaces. It is backfill only if a digest may not have
	// counted that entry: it was in no batch yet, or its batch was lost too. In the second case Batch is the number of
	// the lost batch; a sink that had settled it has had its digest.
	Was   pipeline.Origin
	Batch uint64
	Data  []byte // the event's JSON line, or as the kind says
}

// Record is an entry in the log.
type Record struct {
	Number uint64
	Entry
}

// Log is a durable sequence of entries, which an engine implements. Its methods are safe for concurrent use, but only
// one goroutine may append at a time.
type Log interface {
	// Append stores the entries in order and returns their numbers once they are durable. Numbers start at 1, rise, and
	// never repeat, even after the log has lost its end. A shared log may leave gaps. After an error, any of the
	// entries may be stored. Then the caller appends all of them again; entries that are already stored, by ID, are not
	// stored twice. If the engine can never take one of the entries, the error is [ErrTooLarge] and none is stored.
	Append(ctx context.Context, entries []Entry) ([]uint64, error)
	// Read returns durable records in order, starting with the first number at or after from: at most limit, and about
	// 4 MiB, but at least one if there is one. It does not wait for records. They are read-only.
	Read(ctx context.Context, from uint64, limit int) ([]Record, error)
	// Bounds returns the number of the oldest record that the log may hold, and the next number to be assigned. They are
	// equal if the log is empty.
	Bounds() (first, next uint64)
	// Changed returns a channel that is closed with the next change of Bounds.
	Changed() <-chan struct{}
	// DropBefore drops records that were journaled before t. It may keep some of them.
	DropBefore(ctx context.Context, t time.Time) error
	// Gaps returns the numbers that were assigned and are lost, by damage or because the log went back in time, as far as
	// the log knows. The ranges are sorted and do not overlap. Harmless gaps, such as those of a shared log, are not
	// included.
	Gaps(ctx context.Context) ([]Range, error)
	// Reserve makes sure that no number up to and including last is assigned from now on. Numbers not assigned yet become
	// a gap. That is how the log learns that it has lost its end.
	Reserve(ctx context.Context, last uint64) error
	// Size returns how many bytes the log takes on disk, as far as the engine knows.
	Size() int64
	// Close closes the log. No other method may be called during or after it.
	Close() error
}

// Range is a range of numbers, including both First and Last.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Contains reports whether n is in the range.
func (r Range) Contains(n uint64) bool { return r.First <= n && n <= r.Last }

var (
	// ErrTooLarge means that an entry is larger than the log takes.
	ErrTooLarge = errors.New("the entry is larger than the journal takes")
	// ErrNotHeld means that the log does not hold a number: it was dropped by age, lost, or never assigned.
	ErrNotHeld = errors.New("the journal does not hold it")
)
