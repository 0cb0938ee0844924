// Package rules decides which records a sink gets, and in which form: accounts, filter, digests in place of backfilled
// events, and hidden senders. The same record always gives the same result, also after a restart.
//
// It delivers nothing. Start reading at [Selection] and [Rules.Wants].
package rules

import (
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Selection configures which records a sink gets, and in which form.
type Selection struct {
	// Accounts limits the sink to these accounts. Empty: all.
	Accounts []string
	// Filter limits the sink to matching events. An event on which it fails passes. Nil: all.
	Filter *Filter
	// SkipTests excludes events of the origin test.
	SkipTests bool
	// Backfill is how the sink gets backfilled events.
	Backfill BackfillRule
	// Sender is what the sink learns about the sender of a treat.
	Sender SenderRule
}

// Rules decide which records a sink gets.
type Rules struct {
	selection Selection
	digests   []digestRange // the parts of the journal whose backfilled events the sink gets as digests
	filtered  prometheus.Counter
	logger    zerolog.Logger
}

// New makes the rules of a sink. filtered counts excluded records.
func New(s Selection, filtered prometheus.Counter, logger zerolog.Logger) *Rules {
	return &Rules{selection: s, filtered: filtered, logger: logger}
}

// Begin determines which parts of the journal the sink gets as digests. next is the number where the lane continues.
// fresh is true for a new lane.
func (r *Rules) Begin(ctx context.Context, j *journal.Journal, sink string, next uint64, fresh bool) (err error) {
	r.digests, err = digestRanges(ctx, j, sink, r.selection.Backfill == DigestBackfill, next, fresh)
	return err
}

// Load determines which parts of the journal the sink gets as digests, as the latest [Rules.Begin] has stored it. It is for those who only read.
func (r *Rules) Load(ctx context.Context, j *journal.Journal, sink string) (err error) {
	r.digests, _, err = storedRanges(ctx, j, sink)
	return err
}

// MakesDigests reports whether the sink gets digests of any part of the journal.
func (r *Rules) MakesDigests() bool { return len(r.digests) > 0 }

// Wants reports whether the sink gets a record. The rules also apply to records for this sink only. But digests do not
// count those, so a backfilled treat is then sent like any other.
func (r *Rules) Wants(record *journal.Record) bool {
	ofAccount := len(r.selection.Accounts) == 0 || slices.Contains(r.selection.Accounts, record.Account)
	switch record.Kind {
	case journal.Backfill:
		return ofAccount && len(r.digests) > 0
	case journal.Treat:
		if record.Origin == pipeline.OriginBackfill && within(r.digests, record.Number) {
			return false // a digest counts it
		}
	case journal.Resend:
		switch record.Type {
		case "", pipeline.EventType:
		case pipeline.DigestType:
			return ofAccount
		default:
			return true
		}
	default:
		return false
	}
	ok := ofAccount && (record.Origin != pipeline.OriginTest || !r.selection.SkipTests) &&
		(record.Origin != pipeline.OriginBackfill || r.selection.Backfill != SkipBackfill) && r.matches(record)
	if !ok {
		r.filtered.Inc()
	}
	return ok
}

// matches applies the filter, if there is one. An event on which it fails passes.
func (r *Rules) matches(record *journal.Record) bool {
	if r.selection.Filter == nil {
		return true
	}
	ok, err := r.selection.Filter.Match(record.Delivery())
	if err != nil {
		r.logger.Warn().Err(err).Msg("filter cannot decide on an event, which is delivered; fix the sink's filter")
		return true
	}
	return ok
}

// BackfillRule is how a sink gets backfilled treats.
type BackfillRule string

// Words returns the rules as relay.yaml has them. The first one means [DeliverBackfill].
func (BackfillRule) Words() []string {
	return []string{"deliver", string(SkipBackfill), string(DigestBackfill)}
}

// The rules.
const (
	DeliverBackfill BackfillRule = ""       // each as an event
	SkipBackfill    BackfillRule = "skip"   // not at all
	DigestBackfill  BackfillRule = "digest" // one [pipeline.Digest] for each batch
)

// SenderRule is what a sink learns about the sender of a treat.
type SenderRule string

// Words returns the rules as relay.yaml has them. The first one means [ShowSender].
func (SenderRule) Words() []string { return []string{"false", string(HideSender), string(HashSender)} }

// The rules. A hash is the same for a sender in all accounts and at all sinks of this journal. Without the journal's key,
// it does not reveal the sender.
const (
	ShowSender SenderRule = ""     // the name
	HideSender SenderRule = "true" // nothing, as of an anonymous treat
	HashSender SenderRule = "hash" // a hash in its place
)
