package index

import (
	"slices"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A table holds the records in memory that no run holds yet, in the order in which they were added.
type table struct {
	records   []record
	byKey     map[uint64]int32 // newest record by hash of the key
	byAccount map[uint64]int32
	before    []previous
	cover     []journal.Span // the numbers of the log that the table covers
	events    int
	log       *tailFile // its file
}

// previous holds the index of the previous record with the same key hash, and of the same account. -1: none.
type previous struct{ key, account int32 }

// newTable makes a table with capacity for room records.
func newTable(log *tailFile, room int) *table {
	return &table{
		records: make([]record, 0, room), before: make([]previous, 0, room), byKey: make(map[uint64]int32, room), byAccount: make(map[uint64]int32), log: log,
	}
}

func (t *table) add(r *record) {
	at := int32(len(t.records)) //nolint:gosec // a table is bounded
	key := keyHash(r.account, r.second, r.content)
	before := previous{-1, -1}
	if i, ok := t.byKey[key]; ok {
		before.key = i
	}
	if i, ok := t.byAccount[r.account]; ok {
		before.account = i
	}
	t.records, t.before = append(t.records, *r), append(t.before, before)
	t.byKey[key], t.byAccount[r.account] = at, at
	if r.counts() {
		t.events++
	}
}

// find calls visit with the records of a key, newest first.
func (t *table) find(account uint64, second uint32, content uint64, visit func(*record)) {
	at, ok := t.byKey[keyHash(account, second, content)]
	for ; ok && at >= 0; at = t.before[at].key {
		if r := &t.records[at]; r.account == account && r.second == second && r.content == content {
			visit(r)
		}
	}
}

// of calls visit with the records of an account, newest first, until visit returns false.
func (t *table) of(account uint64, visit func(*record) bool) {
	at, ok := t.byAccount[account]
	for ; ok && at >= 0; at = t.before[at].account {
		if !visit(&t.records[at]) {
			return
		}
	}
}

// addSpan adds a span to a sorted list of spans that do not touch.
func addSpan(spans []journal.Span, s journal.Span) []journal.Span {
	if n := len(spans); n > 0 && spans[n-1].Last+1 == s.First { // the usual case
		spans[n-1].Last = s.Last
		return spans
	}
	from, _ := slices.BinarySearchFunc(spans, s.First, func(have journal.Span, first uint64) int { return order(have.Last+1, first) })
	to := from
	for ; to < len(spans) && spans[to].First <= s.Last+1; to++ {
		s.First, s.Last = min(s.First, spans[to].First), max(s.Last, spans[to].Last)
	}
	return slices.Replace(spans, from, to, s)
}

// holds reports whether a number is in a sorted list of spans.
func holds(spans []journal.Span, n uint64) bool {
	i, _ := slices.BinarySearchFunc(spans, n, func(s journal.Span, n uint64) int { return order(s.Last, n) })
	return i < len(spans) && spans[i].Holds(n)
}

// missingSpans returns the numbers from first to last that no span contains.
func missingSpans(spans []journal.Span, first, last uint64) (missing []journal.Span) {
	for _, s := range spans {
		if s.Last < first {
			continue
		}
		if s.First > last {
			break
		}
		if s.First > first {
			missing = append(missing, journal.Span{First: first, Last: s.First - 1})
		}
		if first = s.Last + 1; first > last {
			return missing
		}
	}
	if first <= last {
		missing = append(missing, journal.Span{First: first, Last: last})
	}
	return missing
}
