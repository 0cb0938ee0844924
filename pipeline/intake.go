package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Intake takes what the source of one account receives into the journal: it decodes, normalizes and counts exact repeats.
//
// A treat carries no id, so its identity is its content and an ordinal: the first of a content has ordinal 0, each exact
// repeat the next. Two identical treats of one second are two treats, for both were paid for.
type Intake struct {
	norm    Normalizer
	journal *Journal
	log     zerolog.Logger
	metrics *Metrics

	turn     chan struct{} // holds a token while one payload, CatchUp or a step of a reconciliation is at work
	repeats  map[Key]repeat
	healing  healing
	backlog  backlog
	lastSeq  uint64    // of the journal, up to which repeats were counted
	lastOpen time.Time // when repeats were last brought up to date or cleaned
	rejects  int       // so far
	rejected string    // the reason of the last one
}

// A repeat counts the treats of one content.
type repeat struct {
	next uint64 // the ordinal of the next one
	last time.Time
}

const (
	// repeatMemory is how long a content is remembered. Exact repeats carry the same second in date_created, so they
	// arrive within minutes; the server's memory of ids is as long.
	repeatMemory = DedupWindow
	// repeatTail is how far back a fresh process looks for them in the journal.
	repeatTail = 10 * time.Minute
)

// NewIntake makes the intake of one account.
func NewIntake(norm Normalizer, j *Journal) *Intake {
	return &Intake{
		norm: norm, journal: j, metrics: j.metrics, repeats: make(map[Key]repeat), turn: make(chan struct{}, 1),
		log: j.log.With().Str("account", norm.Account).Logger(),
	}
}

// CatchUp counts the repeats that others have journaled, or this process before a restart. Call it before each connection
// of the source: then what arrives on the connection continues the count instead of starting anew.
func (in *Intake) CatchUp(ctx context.Context) error {
	leave, err := in.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	in.forget(time.Now())
	fresh := in.lastSeq == 0
	return in.journal.read(ctx, in.norm.Account, in.lastSeq, time.Now().Add(-repeatTail),
		func(seq uint64, h nats.Header, line []byte) error {
			in.lastSeq = seq
			ordinal, err := strconv.ParseUint(h.Get(headerOrdinal), 10, 64)
			if err != nil {
				return nil //nolint:nilerr // not written by the live way: test events have no ordinal
			}
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				in.log.Warn().Err(err).Uint64("seq", seq).Msg("an event in the journal cannot be read: left out of the count of repeats")
				return nil
			}
			key := NewKey(&e.Data)
			r := in.repeats[key]
			in.repeats[key] = repeat{max(r.next, ordinal+1), e.RecordedTime}
			if t, ok := traceOf(&e.Data); ok && fresh && e.Origin == OriginBackfill {
				in.healing.backfilled(t.in(in.norm.Location), e.RecordedTime)
			}
			return nil
		})
}

// Flush returns when everything that was handled before the call is on disk, or with the cause of the end of ctx.
func (in *Intake) Flush(ctx context.Context) error { return in.backlog.wait(ctx) }

// enter takes the turn. A payload may hold it while it waits for the journal.
func (in *Intake) enter(ctx context.Context) (leave func(), err error) {
	select {
	case in.turn <- struct{}{}:
		return func() { <-in.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// forget drops the contents that were not seen for long.
func (in *Intake) forget(now time.Time) {
	for key, r := range in.repeats {
		if now.Sub(r.last) > repeatMemory {
			delete(in.repeats, key)
		}
	}
	in.healing.forget(now)
	in.lastOpen = now
}

// Handle takes in the arguments of one realTimeTreat: it returns when every treat in it is queued for the journal,
// in the order of the calls. A payload that cannot be a treat is queued as a reject. The error is not nil only
// if ctx ended before that.
func (in *Intake) Handle(ctx context.Context, args []json.RawMessage, received time.Time) error {
	in.metrics.Received.WithLabelValues(in.norm.Account).Inc()
	var payload json.RawMessage
	if len(args) > 0 {
		payload = args[0]
	}
	treats, err := decodeTreats(payload)
	in.turn <- struct{}{} // CatchUp holds it for as long as its own context lets it
	defer func() { <-in.turn }()
	if received.Sub(in.lastOpen) > repeatMemory {
		in.forget(received)
	}
	if err != nil {
		if err := in.reject(ctx, err, payload, received); err != nil {
			return err
		}
	}
	for i := range treats {
		if err := in.take(ctx, &treats[i], received); err != nil {
			return err
		}
	}
	return nil
}

func (in *Intake) take(ctx context.Context, t *treat, received time.Time) error {
	e, dated := in.norm.normalize(t, received)
	if len(t.ignored) > 0 {
		in.log.Warn().Strs("fields", t.ignored).Msg("treat has fields that are no text: taken as null")
	}
	r := in.repeats[NewKey(&e.Data)]
	ordinal := r.next
	if !dated {
		// Without a date an old treat and its repeat cannot be told apart, so each receipt is one of its own.
		ordinal = max(ordinal, uint64(received.UnixNano()))
	}
	var seen trace
	var before role
	if dated && in.healing.concerned() {
		seen, _ = traceOf(&e.Data)
		before = in.healing.role(seen.in(in.norm.Location))
	}
	if before == journaledBefore {
		in.healing.came(seen.in(in.norm.Location), before)
		in.metrics.Duplicates.WithLabelValues(in.norm.Account).Inc()
		in.log.Debug().Time("sent", e.Time).Msg("treat is in the journal already, from the history")
		return nil
	}
	header := ""
	if before == knownBefore {
		header = in.healing.baseline
	}
	err := in.queue(ctx, &e, ordinal, header)
	if errors.Is(err, errNotTreat) {
		return in.reject(ctx, err, t.raw, received)
	}
	if err != nil {
		return err
	}
	if before != unknownBefore {
		in.healing.came(seen.in(in.norm.Location), before)
	}
	if in.healing.watched != nil && dated && before != knownBefore {
		in.healing.watched[e.ID] = seen
	}
	return nil
}

// queue gives an event its id and hands it to the journal. known names the baseline that holds the treat already, if one does.
// The caller holds the turn.
func (in *Intake) queue(ctx context.Context, e *Event, ordinal uint64, known string) error {
	key := NewKey(&e.Data)
	e.ID = NewID(e.Time, key, ordinal)
	waiting, err := in.journal.newEntry(e, ordinal)
	if err != nil {
		return err
	}
	if known != "" {
		waiting.msg.Header.Set(headerKnown, known)
	}
	waiting.wrote = in.backlog.wrote
	in.backlog.add(1)
	if err := in.journal.enqueue(ctx, waiting); err != nil {
		in.backlog.add(-1)
		return err
	}
	in.repeats[key] = repeat{ordinal + 1, e.RecordedTime}
	return nil
}

func (in *Intake) reject(ctx context.Context, reason error, payload []byte, received time.Time) error {
	text := strings.ReplaceAll(reason.Error(), "\n", "; ")
	in.rejects++
	level := zerolog.DebugLevel
	if text != in.rejected { // said when it changes, so that a flood of the same does not fill the log
		level, in.rejected = zerolog.WarnLevel, text
	}
	in.log.WithLevel(level).Str("reason", text).Int("bytes", len(payload)).Int("so_far", in.rejects).
		Msg("payload rejected; it is kept in the journal")
	return in.journal.reject(ctx, Reject{
		Account: in.norm.Account, Provider: in.norm.Provider, Reason: text, Received: received.UTC(),
	}, payload)
}
