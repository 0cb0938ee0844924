// Package journal keeps what relay must not lose: a durable log of entries with numbers, and a small state beside it. It knows
// the contract of both, what the entries mean, and nothing of how an engine stores them: see filelog, statefile and jetstream.
package journal

import (
	"context"
	"errors"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// Kind says what an entry of the journal is. Kinds are stored: a number is never given another meaning.
type Kind uint8

// The kinds.
const (
	// Treat is an event of an account, live, backfilled or a test, for every sink.
	Treat Kind = 1
	// Reject is a payload that cannot be a treat, see [RejectedPayload].
	Reject Kind = 2
	// Backfill is a [BackfillBatch]: which events of an account one comparison with the history has journaled.
	Backfill Kind = 3
	// Known holds what an account's history held at its baseline.
	Known Kind = 4
	// Resend is an event or an alert for one sink only: a replay, a redriven dead letter, a test. Ref is the number of the dead
	// letter that it redrives, 0 for another reason.
	Resend Kind = 5
	// Dead is a [DeadLetter]. Ref is the number of the entry that the sink refused.
	Dead Kind = 6
	// Purge says that the dead letter Ref was deleted.
	Purge Kind = 7
	// Import is an event of another journal, read from a relay export: it is known, shown and replayed like a Treat, and delivered to nobody.
	Import Kind = 8
	// AttemptLines are attempts to deliver, many in an entry. They are in a log of their own, see package attempts.
	AttemptLines Kind = 9
)

// Entry is what is written to the journal. Which fields are set depends on the kind.
type Entry struct {
	Kind Kind
	// ID is unique in the journal. That of a Treat is the event's id. An entry that is appended again with the ID it had, because
	// it was not clear whether the first attempt was stored, is stored once.
	ID       string
	Time     time.Time // when it was journaled; set by [Journal], and never earlier than that of the entry before
	Account  string
	Provider string
	Origin   pipeline.Origin
	Type     string // of the event, if it is not [pipeline.EventType]
	Sink     string // of Resend, Dead and Purge
	EventID  string // of Resend and Dead: the event's own id
	Repeat   uint64 // of a Treat: its ordinal among exact repeats plus one; 0: it does not count for repeats
	Baseline string // of Known, and of a Treat that the baseline holds: the baseline's id
	// Ref is the number of another entry. Of a Treat or a Heal it is the one that it takes the place of, which was lost by damage: a sink that
	// had accepted that one is not sent this.
	Ref uint64
	// Was is the origin of the lost entry, of a Treat that has a Ref. It is backfill only if a digest may not have counted it: no backfill batch held it
	// yet, or that was lost too, and then Batch is its number. A sink that had settled that mark has had its digest.
	Was   pipeline.Origin
	Batch uint64
	Data  []byte // the event's JSON line, or what the kind says
}

// Record is an entry as the log holds it.
type Record struct {
	Number uint64
	Entry
}

// Log is a durable sequence of entries. An engine implements it. Its methods are safe for use by several goroutines, but only one
// at a time appends.
type Log interface {
	// Append stores the entries in their order and returns their numbers once they are durable. Numbers start at 1, rise, and never
	// repeat, not even after the log has lost its end; a shared log may leave gaps. After an error it is not known which of the entries are stored;
	// the caller appends all of them again, and those that are stored already, by ID, are not stored twice.
	// The error is an [ErrTooLarge] if the engine will never take one of them; then none is stored.
	Append(ctx context.Context, entries []Entry) ([]uint64, error)
	// Read returns durable records in order, from the first one whose number is at least from: at most limit, and no more than about 4 MiB, but at
	// least one if there is one. It does not wait. Records are not to be changed.
	Read(ctx context.Context, from uint64, limit int) ([]Record, error)
	// Bounds returns the number of the oldest record that may be held, and the one after the newest number that was given. They are equal
	// for a log that holds nothing.
	Bounds() (first, next uint64)
	// Changed returns a channel that is closed when Bounds changes next.
	Changed() <-chan struct{}
	// DropBefore drops records that were journaled before t, and may keep some of them.
	DropBefore(ctx context.Context, t time.Time) error
	// Gaps returns the numbers that were given and are lost, as far as the log knows: by damage, or because its end went back in time. They are
	// in order and do not overlap. Gaps that are none to worry about, such as those of a shared log, are not in it.
	Gaps(ctx context.Context) ([]Span, error)
	// Reserve makes sure that no number up to and including last is given from now on. Those that were not given yet become a gap. It is how the
	// log learns that it has lost its end.
	Reserve(ctx context.Context, last uint64) error
	// Size is how many bytes the log takes on disk, as far as the engine knows.
	Size() int64
	// Close ends the log. Nothing else may be called during and after it.
	Close() error
}

// Span is a range of numbers, both ends included.
type Span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Holds reports whether n is in the span.
func (s Span) Holds(n uint64) bool { return s.First <= n && n <= s.Last }

var (
	// ErrTooLarge says that an entry is larger than the log takes.
	ErrTooLarge = errors.New("the entry is larger than the journal takes")
	// ErrNotHeld says that the log does not hold a number, because it was dropped by age, lost, or never given.
	ErrNotHeld = errors.New("the journal does not hold it")
)
