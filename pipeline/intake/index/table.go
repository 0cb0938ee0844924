package index

import (
	"slices"

	"github.com/treatrelay/relay/pipeline/journal"
)

// A table contains the records in memory that no run contains yet, in the order in which they were added.
type table struct {
	records   []record
	byKey     map[uint64]int32 // newest record by hash of the key
	byAccount map[uint64]int32
	before    []previous
	cover     []journal.Range // the numbers of the log that the table covers
	events    int
	log       *tailFile // its file
}

// previous contains the index of the previous record with the same key hash, and of the same account. -1: none.
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

// addRange adds a range to a sorted list of ranges that do not touch.
func addRange(ranges []journal.Range, s journal.Range) []journal.Range {
	if n := len(ranges); n > 0 && ranges[n-1].Last+1 == s.First { // the usual case
		ranges[n-1].Last = s.Last
		return ranges
	}
	from, _ := slices.BinarySearchFunc(ranges, s.First, func(have journal.Range, first uint64) int { return order(have.Last+1, first) })
	to := from
	for ; to < len(ranges) && ranges[to].First <= s.Last+1; to++ {
		s.First, s.Last = min(s.First, ranges[to].First), max(s.Last, ranges[to].Last)
	}
	return slices.Replace(ranges, from, to, s)
}

// contains reports whether a number is in a sorted list of ranges.
func contains(ranges []journal.Range, n uint64) bool {
	i, _ := slices.BinarySearchFunc(ranges, n, func(s journal.Range, n uint64) int { return order(s.Last, n) })
	return i < len(ranges) && ranges[i].Contains(n)
}

// missingRanges returns the numbers from first to last that no range contains.
func missingRanges(ranges []journal.Range, first, last uint64) (missing []journal.Range) {
	for _, s := range ranges {
		if s.Last < first {
			continue
		}
		if s.First > last {
			break
		}
		if s.First > first {
			missing = append(missing, journal.Range{First: first, Last: s.First - 1})
		}
		if first = s.Last + 1; first > last {
			return missing
		}
	}
	if first <= last {
		missing = append(missing, journal.Range{First: first, Last: last})
	}
	return missing
}
