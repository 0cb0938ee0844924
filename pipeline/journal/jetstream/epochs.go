package jetstream

import (
	"slices"
	"time"

	"github.com/treatrelay/relay/pipeline/journal"
)

// An epoch maps sequences of the stream to numbers, from a sequence on: the number is the sequence plus the offset. A
// new epoch begins when the stream's sequences would repeat a number.
type epoch struct {
	From   uint64 `json:"from"`
	Offset uint64 `json:"offset"`
}

// A gap is a range of lost numbers.
type gap struct {
	journal.Range
	Noticed time.Time `json:"noticed"`
}

// A table maps sequences to numbers and back. It is immutable.
type table struct {
	// Epochs are sorted by sequence, and so by offset. The first one begins at sequence 1.
	Epochs []epoch `json:"epochs"`
	Gaps   []gap   `json:"gaps,omitempty"` // sorted, without overlap
}

func firstTable() *table { return &table{Epochs: []epoch{{From: 1}}} }

// plain reports whether the table is trivial: each number is the sequence, and none is lost.
func (t *table) plain() bool {
	return len(t.Epochs) == 1 && t.Epochs[0].Offset == 0 && len(t.Gaps) == 0
}

// valid reports whether a stored table is consistent.
func (t *table) valid() bool {
	if len(t.Epochs) == 0 || t.Epochs[0].From != 1 {
		return false
	}
	for i := 1; i < len(t.Epochs); i++ {
		if t.Epochs[i].From <= t.Epochs[i-1].From || t.Epochs[i].Offset < t.Epochs[i-1].Offset {
			return false
		}
	}
	return true
}

// offset returns the offset of a sequence.
func (t *table) offset(sequence uint64) uint64 {
	i := len(t.Epochs) - 1
	for i > 0 && t.Epochs[i].From > sequence {
		i--
	}
	return t.Epochs[i].Offset
}

// number returns the number of a sequence.
func (t *table) number(sequence uint64) uint64 { return sequence + t.offset(sequence) }

// sequence returns the lowest sequence whose number is at least n.
func (t *table) sequence(n uint64) uint64 {
	for i, e := range t.Epochs {
		if n <= e.From+e.Offset {
			return e.From
		}
		if i+1 == len(t.Epochs) || n < t.Epochs[i+1].From+e.Offset {
			return n - e.Offset
		}
	}
	return n // unreachable: the last epoch has no end
}

// begin returns the table with a new epoch after the sequence cut, whose numbers start above top. The numbers between
// are lost, except those below oldest, which were dropped by age.
func (t *table) begin(cut, top, oldest uint64, now time.Time) *table {
	next := &table{Epochs: slices.DeleteFunc(slices.Clone(t.Epochs), func(e epoch) bool { return e.From > cut }), Gaps: t.Gaps}
	next.Epochs = append(next.Epochs, epoch{From: cut + 1, Offset: top - cut})
	lost := oldest
	if cut > 0 {
		lost = max(lost, t.number(cut)+1)
	}
	return next.lose(journal.Range{First: lost, Last: top}, now)
}

// lose returns the table with one more lost range.
func (t *table) lose(lost journal.Range, now time.Time) *table {
	if lost.First == 0 || lost.First > lost.Last {
		return t
	}
	next := &table{Epochs: t.Epochs}
	for _, g := range t.Gaps {
		if g.Last+1 >= lost.First && lost.Last+1 >= g.First { // they touch
			lost.First, lost.Last = min(g.First, lost.First), max(g.Last, lost.Last)
			continue
		}
		next.Gaps = append(next.Gaps, g)
	}
	next.Gaps = append(next.Gaps, gap{lost, now})
	slices.SortFunc(next.Gaps, func(a, b gap) int { return int(min(max(int64(a.First)-int64(b.First), -1), 1)) }) //nolint:gosec // no log has 2^63 records
	return next
}

// lost reports whether all numbers from first to last are lost.
func (t *table) lost(first, last uint64) bool {
	return slices.ContainsFunc(t.Gaps, func(g gap) bool { return g.Contains(first) && g.Contains(last) })
}

// forget returns the table without gaps that were found before a time.
func (t *table) forget(before time.Time) *table {
	old := func(g gap) bool { return g.Noticed.Before(before) }
	if !slices.ContainsFunc(t.Gaps, old) {
		return t
	}
	return &table{Epochs: t.Epochs, Gaps: slices.DeleteFunc(slices.Clone(t.Gaps), old)}
}

// top returns a number that is at least as large as every number that the epochs have skipped.
func (t *table) top() uint64 {
	last := t.Epochs[len(t.Epochs)-1]
	n := last.From + last.Offset - 1
	if len(t.Gaps) > 0 {
		n = max(n, t.Gaps[len(t.Gaps)-1].Last)
	}
	return n
}
