package cursor

import (
	"slices"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Numbers is a set of numbers of the journal: sorted spans that neither overlap nor touch.
type Numbers []journal.Span

// find returns the index of the first span that ends at n or later.
func (s Numbers) find(n uint64) int {
	i, _ := slices.BinarySearchFunc(s, n, func(span journal.Span, n uint64) int {
		switch {
		case span.Last < n:
			return -1
		case span.First > n:
			return 1
		}
		return 0
	})
	return i
}

// Holds reports whether a number is in the set.
func (s Numbers) Holds(n uint64) bool {
	i := s.find(n)
	return i < len(s) && s[i].Holds(n)
}

// count returns the size of the set.
func (s Numbers) count() (n uint64) {
	for _, span := range s {
		n += span.Last - span.First + 1
	}
	return n
}

// Add adds a span.
func (s *Numbers) Add(span journal.Span) {
	if span.First > span.Last {
		return
	}
	from := s.find(span.First)
	if from > 0 && (*s)[from-1].Last+1 == span.First {
		from--
	}
	to := from
	for to < len(*s) && (*s)[to].First <= span.Last+1 {
		span.First, span.Last = min(span.First, (*s)[to].First), max(span.Last, (*s)[to].Last)
		to++
	}
	*s = slices.Replace(*s, from, to, span)
}

// AddOne adds a number.
func (s *Numbers) AddOne(n uint64) { s.Add(journal.Span{First: n, Last: n}) }

// Remove removes a number. It reports whether it was in the set.
func (s *Numbers) Remove(n uint64) bool {
	i := s.find(n)
	if i == len(*s) || !(*s)[i].Holds(n) {
		return false
	}
	switch span := &(*s)[i]; {
	case span.First == span.Last:
		*s = slices.Delete(*s, i, i+1)
	case n == span.First:
		span.First++
	case n == span.Last:
		span.Last--
	default:
		rest := journal.Span{First: n + 1, Last: span.Last}
		span.Last = n - 1
		*s = slices.Insert(*s, i+1, rest)
	}
	return true
}

// without returns a copy of the set without the numbers of a span.
func (s Numbers) without(span journal.Span) Numbers {
	left := s.Below(span.First)
	for _, one := range s[s.find(span.Last):] {
		if one.First = max(one.First, span.Last+1); one.First <= one.Last {
			left = append(left, one)
		}
	}
	return left
}

// Below returns a copy of the numbers less than n.
func (s Numbers) Below(n uint64) Numbers {
	i := s.find(n)
	part := slices.Clone(s[:i])
	if i < len(s) && s[i].First < n {
		part = append(part, journal.Span{First: s[i].First, Last: n - 1})
	}
	return part
}

// common returns the numbers that are in both the set and a span.
func (s Numbers) common(span journal.Span) (all []journal.Span) {
	for _, one := range s[s.find(span.First):] {
		if one.First > span.Last {
			break
		}
		all = append(all, journal.Span{First: max(one.First, span.First), Last: min(one.Last, span.Last)})
	}
	return all
}

// valid reports whether the spans are sorted and apart, which data from disk may violate.
func (s Numbers) valid() bool {
	for i, span := range s {
		if span.First == 0 || span.Last < span.First || i > 0 && span.First <= s[i-1].Last {
			return false
		}
	}
	return true
}
