package delivery

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/treatrelay/relay/pipeline"
	"github.com/treatrelay/relay/pipeline/journal"
)

// rules decide which records a sink is sent.
type rules struct {
	accounts  []string // empty: all
	filter    *Filter  // nil: none
	skipTests bool
	backfill  BackfillRule
	digests   []digestSpan // the parts of the journal whose events of the origin backfill the sink gets as digests
	filtered  prometheus.Counter
	logger    zerolog.Logger
}

// wants reports whether the sink is to be sent a record. The rules hold for what was put before this sink alone as well. But no digest counts
// that, so a treat from the history is then one like any other.
func (r *rules) wants(record *journal.Record) bool {
	ofAccount := len(r.accounts) == 0 || slices.Contains(r.accounts, record.Account)
	switch record.Kind {
	case journal.Heal:
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
	ok := ofAccount && (record.Origin != pipeline.OriginTest || !r.skipTests) &&
		(record.Origin != pipeline.OriginBackfill || r.backfill != SkipBackfill) && r.matches(record)
	if !ok {
		r.filtered.Inc()
	}
	return ok
}

// matches applies the filter, if there is one. An event on which it cannot decide is let through.
func (r *rules) matches(record *journal.Record) bool {
	if r.filter == nil {
		return true
	}
	ok, err := r.filter.Match(record.Delivery())
	if err != nil {
		r.logger.Warn().Err(err).Msg("filter cannot decide on an event, which is delivered; fix the sink's filter")
		return true
	}
	return ok
}
