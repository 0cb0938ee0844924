package pipeline

import "slices"

// BackfillRule is how a sink gets the treats that relay found in the history later.
type BackfillRule string

// The rules.
const (
	DeliverBackfill BackfillRule = ""       // each as an event
	SkipBackfill    BackfillRule = "skip"   // not at all
	DigestBackfill  BackfillRule = "digest" // one [Digest] for each healing of an account
)

// laneSubjects are what a lane takes from the journal.
func laneSubjects(sink string, accounts []string, digests bool) []string {
	subjects := []string{resendSubject + sink + ".*"}
	if len(accounts) == 0 {
		accounts = []string{"*"}
	}
	for _, a := range accounts {
		subjects = append(subjects, journalSubject+a)
		if digests {
			subjects = append(subjects, healSubject+a)
		}
	}
	return subjects
}

// wants reports whether the sink is to be sent what was taken from the journal. The rules hold for what was put before this sink alone
// as well, which resent says. But no digest counts that, so a treat from the history is then one like any other.
func (l *Lane) wants(r Record, resent bool) bool {
	ofAccount := len(l.cfg.Accounts) == 0 || slices.Contains(l.cfg.Accounts, r.Account)
	switch r.Type {
	case EventType:
	case healType, DigestType:
		return ofAccount
	default:
		return true
	}
	if r.Origin == OriginBackfill && !resent && within(l.digests, r.Seq) {
		return false // a digest counts it
	}
	ok := ofAccount && (r.Origin != OriginTest || !l.cfg.SkipTests) && (r.Origin != OriginBackfill || l.cfg.Backfill != SkipBackfill) &&
		l.matches(r)
	if !ok {
		l.journal.metrics.Filtered.WithLabelValues(l.cfg.Sink).Inc()
	}
	return ok
}

// matches applies the filter, if there is one. What that cannot tell of is let through.
func (l *Lane) matches(r Record) bool {
	if l.cfg.Filter == nil {
		return true
	}
	ok, err := l.cfg.Filter.Match(r)
	if err != nil {
		l.log.Warn().Err(err).Msg("filter cannot tell of an event, which is delivered; mend the sink's filter")
		return true
	}
	return ok
}
