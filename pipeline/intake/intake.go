// Package intake writes the treats that the sources receive to the journal. It decodes and normalizes them, counts
// exact repeats, and fills gaps from the provider's history.
//
// Every treat is journaled once, whether it arrives live, in the history, or both, and in whatever form. A treat that
// cannot be matched with certainty is not backfilled.
//
// It does not depend on sinks or on an engine of the journal, and makes no requests: sources call it, and [History] is
// an interface. Start reading at [Intake.Handle] for live treats and at [Reconciler] for the history; compare.go has
// the steps of one comparison.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
	"github.com/treatrelay/relay/pipeline/intake/index"
	"github.com/treatrelay/relay/pipeline/intake/match"
	"github.com/treatrelay/relay/pipeline/intake/treat"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Config configures an [Intake].
type Config struct {
	Normalizer
	Journal *journal.Journal
	// Index is the index of Journal, which must call its Committed.
	Index   *index.Index
	Logger  zerolog.Logger
	Metrics *pipeline.Metrics // nil: no metrics
}

// Intake writes the treats that one account's source receives to the journal. Its methods are safe for concurrent use.
//
// A treat has no id. Its identity is its content and an ordinal: the first treat of a content has ordinal 0, each exact
// repeat the next one. Two identical treats of the same second are two treats, since both were paid for. An identical
// treat that arrives more than [repeatMemory] runNext is a duplicate and is dropped.
type Intake struct {
	norm    Normalizer
	journal *journal.Journal
	index   *index.Index
	log     zerolog.Logger
	metrics metrics

	lock        ctxLock
	repeats     repeats
	overlap     overlap
	backlog     backlog
	rejects     rejects
	indexLogged string // the last failure of the index that was logged; empty: none
	scratch     scratch
}

// metrics are the metrics of all accounts, and the account's most used counters.
type metrics struct {
	*pipeline.Metrics
	received, duplicates prometheus.Counter
}

// scratch is memory that is reused for each treat.
type scratch struct {
	event pipeline.Event
	print fingerprint.Fingerprint
	hits  []index.Hit
	seen  uint64 // count of the index's commits before the hits were read
}

// rejects counts rejected payloads.
type rejects struct {
	n      int
	logged string // the last reason that was logged
}

// New makes the intake of one account. An account must not have two intakes at the same time: both could journal the
// same treat.
func New(cfg Config) *Intake {
	if cfg.Metrics == nil {
		cfg.Metrics = pipeline.NewMetrics(prometheus.NewRegistry())
	}
	return &Intake{
		norm: cfg.Normalizer, journal: cfg.Journal, index: cfg.Index, lock: ctxLock{token: make(chan struct{}, 1)},
		metrics: metrics{cfg.Metrics, cfg.Metrics.Received.WithLabelValues(cfg.Account), cfg.Metrics.Duplicates.WithLabelValues(cfg.Account)},
		log:     cfg.Logger.With().Str("account", cfg.Account).Logger(), repeats: repeats{counts: make(map[repeatKey]repeat)},
	}
}

// CatchUp counts repeats that were journaled by other processes, or by this one before a restart. Call it before each
// connection of the source, so that the treats of the connection continue the count.
func (in *Intake) CatchUp(ctx context.Context) error {
	release, err := in.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := in.index.CatchUp(ctx); err != nil {
		return err
	}
	now := time.Now()
	in.forget(now)
	fresh := in.repeats.since.IsZero()
	if fresh {
		in.repeats.since = now.Add(-repeatTail)
	}
	in.repeats.settle(in.backlog.done(), in.index.Through())
	if !fresh {
		return nil
	}
	for {
		err := in.index.Backfilled(ctx, in.norm.Account, 0, in.repeats.since, func(h *index.Hit) bool {
			if !h.When.IsZero() && h.Repeat > 0 {
				in.overlap.expect(match.TraitOf(h.Core, h.Identity(in.norm.Location)), journaledBefore, h.Journaled)
			}
			return true
		})
		if !errors.Is(err, index.ErrDamaged) {
			return err
		}
		in.overlap = overlap{}
	}
}

// Flush waits until everything handled before the call is on disk. If ctx ends first, it returns the cause.
func (in *Intake) Flush(ctx context.Context) error {
	_, err := in.backlog.wait(ctx)
	return err
}

// forget drops old repeats and expected treats.
func (in *Intake) forget(now time.Time) {
	in.repeats.forget(now)
	in.overlap.forget(now)
}

// Handle decodes the arguments of one realTimeTreat. It returns once every treat is queued for the journal, in the order of
// the calls and arguments; the rest that may have been meant as a treat is queued as a reject. It blocks while the journal
// is full or another payload waits for it. The error is not nil only if ctx ended meanwhile; then the payload may be queued in
// part or not at all.
func (in *Intake) Handle(ctx context.Context, args []json.RawMessage, received time.Time) error {
	in.metrics.received.Inc()
	treats, left := treat.Decode(args)
	release, err := in.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if in.repeats.due(received) {
		in.forget(received)
	}
	if in.repeats.full() {
		in.repeats.settle(in.backlog.done(), in.index.Through())
	}
	for _, l := range left {
		if err := in.reject(ctx, l.Why, l.Payload, received); err != nil {
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

func (in *Intake) take(ctx context.Context, t *treat.Treat, received time.Time) error {
	e, f := &in.scratch.event, &in.scratch.print
	*e, *f = in.norm.normalize(t, received)
	dated := !f.When.IsZero()
	if len(t.Ignored) > 0 {
		in.log.Warn().Strs("fields", t.Ignored).Msg("treat has fields that are not text: taken as null")
	}
	q := queued{event: e, print: f}
	if dated {
		q.hits = in.find(ctx, f)
	}
	q.ordinal = in.repeats.next(keyOf(f), q.hits, received)
	if !dated {
		// Without a date, an old treat and its repeat look the same. So each receipt counts as a new treat.
		q.ordinal = max(q.ordinal, uint64(received.UnixNano()))
	}
	before := in.claimExpected(f)
	if before == journaledBefore {
		in.metrics.duplicates.Inc()
		in.log.Debug().Time("sent", e.Time).Msg("treat is already in the journal, backfilled from the history")
		return nil
	}
	if before == knownBefore {
		q.baseline = in.overlap.baseline
	}
	duplicate, err := in.queue(ctx, &q)
	if errors.Is(err, treat.ErrNotTreat) {
		return in.reject(ctx, err, t.Raw, received)
	}
	if err != nil || duplicate {
		return err
	}
	if in.overlap.watching && dated && before != knownBefore {
		in.overlap.watched = append(in.overlap.watched, *f)
	}
	return nil
}

// claimExpected returns the relation of a live treat to the history that was read before.
func (in *Intake) claimExpected(f *fingerprint.Fingerprint) role {
	if f.When.IsZero() || len(in.overlap.expected) == 0 {
		return unknownBefore
	}
	if c := in.overlap.claim(match.TraitOf(f.Core, f.Identity(in.norm.Location))); c != nil {
		return c.role
	}
	return unknownBefore
}

// find returns the hits of the index for a content and date. They are valid until the next call.
func (in *Intake) find(ctx context.Context, f *fingerprint.Fingerprint) []index.Hit {
	var err error
	in.scratch.seen = in.index.Commits()
	in.scratch.hits, err = in.index.Find(ctx, in.scratch.hits[:0], in.norm.Account, f)
	switch {
	case err != nil && err.Error() != in.indexLogged:
		in.indexLogged = err.Error()
		in.log.Warn().Err(err).Msg("index of the journal cannot be read: a treat that arrives twice may be journaled twice")
	case err == nil && in.indexLogged != "":
		in.indexLogged = ""
		in.log.Info().Msg("index of the journal can be read again")
	}
	return in.scratch.hits
}

// queued is an event on its way into the journal.
type queued struct {
	event    *pipeline.Event
	print    *fingerprint.Fingerprint
	hits     []index.Hit // similar events of the index
	ordinal  uint64
	ref      uint64 // the number of the lost entry that it replaces; 0: none
	baseline string // the id of the baseline that already holds the treat; empty: none
	// lostBatches holds the numbers of the backfill batches that the log has lost; nil: not read yet.
	lostBatches map[journal.Range]uint64
}

// queue gives an event its id and queues it for the journal, unless it is a duplicate. The caller holds the lock.
func (in *Intake) queue(ctx context.Context, q *queued) (duplicate bool, err error) {
	e := q.event
	key := pipeline.NewKey(&e.Data)
	e.ID = pipeline.NewID(e.Time, key, q.ordinal)
	if in.held(ctx, q) || !in.expect(ctx, q) {
		in.metrics.duplicates.Inc()
		in.log.Debug().Str("id", e.ID).Msg("duplicate: already in the journal")
		in.repeats.count(keyOf(q.print), q.ordinal, e.RecordedTime, neverDone)
		return true, nil
	}
	line, err := e.Line()
	if err != nil {
		in.index.Forget(e.ID)
		return false, fmt.Errorf("%w: %w", treat.ErrNotTreat, err)
	}
	entry := journal.Entry{
		Kind: journal.Treat, ID: e.ID, Account: e.Data.Account, Provider: e.Data.Provider, Origin: e.Origin, Repeat: q.ordinal + 1,
		Baseline: q.baseline, Ref: q.ref, Data: line,
	}
	if q.ref != 0 {
		in.lostOrigin(ctx, &entry, q)
	}
	if !journal.Fits(&entry) {
		in.index.Forget(e.ID)
		return false, fmt.Errorf("%w: its event of %d bytes is larger than what the journal takes", treat.ErrNotTreat, len(line))
	}
	position := in.backlog.add()
	if err := in.journal.Enqueue(ctx, journal.Item{Entry: entry, Received: e.RecordedTime, Done: in.backlog.wrote}); err != nil {
		in.backlog.undo()
		in.index.Forget(e.ID)
		return false, err
	}
	in.repeats.count(keyOf(q.print), q.ordinal, e.RecordedTime, position)
	return false, nil
}

// expect registers the event with the index. It reports false if the event is on its way into the journal, or was
// journaled since q.hits were read.
func (in *Intake) expect(ctx context.Context, q *queued) bool {
	if !in.index.Expect(q.event.ID, q.print) {
		return false
	}
	if q.print.When.IsZero() || in.index.Commits() == in.scratch.seen {
		return true
	}
	q.hits = in.find(ctx, q.print)
	if in.held(ctx, q) {
		in.index.Forget(q.event.ID)
		return false
	}
	return true
}

// lostOrigin sets the fields Was and Batch of an entry that replaces a lost one, see [journal.Entry]. If the index
// cannot be read, the lost one counts as live.
func (in *Intake) lostOrigin(ctx context.Context, entry *journal.Entry, q *queued) {
	entry.Was = pipeline.OriginLive
	ofHistory := slices.ContainsFunc(q.hits, func(h index.Hit) bool { return h.Number == q.ref && h.Backfill })
	if !ofHistory {
		return
	}
	if q.ref > in.index.Account(entry.Account).Batched {
		entry.Was = pipeline.OriginBackfill
		return
	}
	if q.lostBatches == nil {
		q.lostBatches, _ = in.index.LostBatches(ctx, entry.Account) // an error is reported where batches are journaled again
	}
	for rng, number := range q.lostBatches {
		if rng.Contains(q.ref) && number > entry.Batch {
			entry.Was, entry.Batch = pipeline.OriginBackfill, number
		}
	}
}

// held reports whether the journal holds the event. If the journal has lost it, held sets q.ref.
func (in *Intake) held(ctx context.Context, q *queued) bool {
	for i := range q.hits {
		h := &q.hits[i]
		if h.Repeat != q.ordinal+1 {
			continue
		}
		if h.Lost {
			q.ref = max(q.ref, h.Number)
			continue
		}
		// An event whose date is spelled differently is another event.
		r, err := in.journal.Get(ctx, h.Number)
		if err == nil && r.ID == q.event.ID {
			return true
		}
		if errors.Is(err, journal.ErrNotHeld) {
			q.ref = max(q.ref, h.Number)
		}
	}
	return false
}

func (in *Intake) reject(ctx context.Context, reason error, payload []byte, received time.Time) error {
	text := strings.ReplaceAll(reason.Error(), "\n", "; ")
	in.rejects.n++
	level := zerolog.DebugLevel
	if text != in.rejects.logged { // logged when it changes, so that a flood of equal payloads does not fill the log
		level, in.rejects.logged = zerolog.WarnLevel, text
	}
	in.log.WithLevel(level).Str("reason", text).Int("bytes", len(payload)).Int("so_far", in.rejects.n).
		Msg("payload rejected; it is kept in the journal")
	entry := journal.RejectEntry(in.norm.Account, in.norm.Provider, text, received, payload)
	return in.journal.Enqueue(ctx, journal.Item{Entry: entry, Received: received})
}
