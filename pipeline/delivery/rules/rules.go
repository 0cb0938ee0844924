// Package rules decides what a sink is sent of the journal, and in which form: which events, digests in place of events from the history, and what of the sender.
package rules

import (
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// Selection configures what a sink is sent of the journal, and in which form.
type Selection struct {
	// Accounts limits the sink to these. Empty: all.
	Accounts []string
	// Filter limits the sink to the events that match. One that cannot decide on an event lets it through. Nil: all.
	Filter *Filter
	// SkipTests leaves out the events of the origin test.
	SkipTests bool
	// Backfill is how the sink gets the events of the origin backfill.
	Backfill BackfillRule
	// Sender is what the sink gets to know of who sent a treat.
	Sender SenderRule
}

// Rules decide which records a sink is sent.
type Rules struct {
	selection Selection
	digests   []digestSpan // the parts of the journal whose events of the origin backfill the sink gets as digests
	filtered  prometheus.Counter
	logger    zerolog.Logger
}

// New makes the rules of a sink. filtered counts what its selection leaves out.
func New(s Selection, filtered prometheus.Counter, logger zerolog.Logger) *Rules {
	return &Rules{selection: s, filtered: filtered, logger: logger}
}

// Begin finds out which parts of the journal the sink gets as digests, of which a lane that goes on at number next has the ones before. fresh is true
// for a lane that begins.
func (r *Rules) Begin(ctx context.Context, j *journal.Journal, sink string, next uint64, fresh bool) (err error) {
	r.digests, err = digestSpans(ctx, j, sink, r.selection.Backfill == DigestBackfill, next, fresh)
	return err
}

// SumsUp reports whether the sink gets digests of some part of the journal.
func (r *Rules) SumsUp() bool { return len(r.digests) > 0 }

// Wants reports whether the sink is to be sent a record. The rules hold for what was put before this sink alone as well. But no digest counts
// that, so a treat from the history is then one like any other.
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

// matches applies the filter, if there is one. An event on which it cannot decide is let through.
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

// BackfillRule is how a sink gets the treats that relay found in the history later.
type BackfillRule string

// The rules.
const (
	DeliverBackfill BackfillRule = ""       // each as an event
	SkipBackfill    BackfillRule = "skip"   // not at all
	DigestBackfill  BackfillRule = "digest" // one [pipeline.Digest] for each healing of an account
)

// SenderRule is what a sink gets to know of who sent a treat.
type SenderRule string

// The rules. With a hash the same sender, of whatever account, has the same name at every sink of this journal, and nobody who
// does not hold the journal's key can find out whose it is.
const (
	ShowSender SenderRule = ""     // the name
	HideSender SenderRule = "true" // nothing: as of an anonymous treat
	HashSender SenderRule = "hash" // a name in its place
)
