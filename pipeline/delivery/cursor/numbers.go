package cursor

import (
	"slices"

	"github.com/treatrelay/relay/pipeline/journal"
)

// Numbers is a set of numbers of the journal: sorted ranges that neither overlap nor touch.
type Numbers []journal.Range

// find returns the index of the first range that ends at n or later.
func (s Numbers) find(n uint64) int {
	i, _ := slices.BinarySearchFunc(s, n, func(rng journal.Range, n uint64) int {
		switch {
		case rng.Last < n:
			return -1
		case rng.First > n:
			return 1
		}
		return 0
	})
	return i
}

// Contains reports whether a number is in the set.
func (s Numbers) Contains(n uint64) bool {
	i := s.find(n)
	return i < len(s) && s[i].Contains(n)
}

// count returns the size of the set.
func (s Numbers) count() (n uint64) {
	for _, rng := range s {
		n += rng.Last - rng.First + 1
	}
	return n
}

// Add adds a range.
func (s *Numbers) Add(rng journal.Range) {
	if rng.First > rng.Last {
		return
	}
	from := s.find(rng.First)
	if from > 0 && (*s)[from-1].Last+1 == rng.First {
		from--
	}
	to := from
	for to < len(*s) && (*s)[to].First <= rng.Last+1 {
		rng.First, rng.Last = min(rng.First, (*s)[to].First), max(rng.Last, (*s)[to].Last)
		to++
	}
	*s = slices.Replace(*s, from, to, rng)
}

// AddOne adds a number.
func (s *Numbers) AddOne(n uint64) { s.Add(journal.Range{First: n, Last: n}) }

// Remove removes a number. It reports whether it was in the set.
func (s *Numbers) Remove(n uint64) bool {
	i := s.find(n)
	if i == len(*s) || !(*s)[i].Contains(n) {
		return false
	}
	switch rng := &(*s)[i]; {
	case rng.First == rng.Last:
		*s = slices.Delete(*s, i, i+1)
	case n == rng.First:
		rng.First++
	case n == rng.Last:
		rng.Last--
	default:
		rest := journal.Range{First: n + 1, Last: rng.Last}
		rng.Last = n - 1
		*s = slices.Insert(*s, i+1, rest)
	}
	return true
}

// without returns a copy of the set without the numbers of a range.
func (s Numbers) without(rng journal.Range) Numbers {
	left := s.Below(rng.First)
	for _, one := range s[s.find(rng.Last):] {
		if one.First = max(one.First, rng.Last+1); one.First <= one.Last {
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
		part = append(part, journal.Range{First: s[i].First, Last: n - 1})
	}
	return part
}

// common returns the numbers that are in both the set and a range.
func (s Numbers) common(rng journal.Range) (all []journal.Range) {
	for _, one := range s[s.find(rng.First):] {
		if one.First > rng.Last {
			break
		}
		all = append(all, journal.Range{First: max(one.First, rng.First), Last: min(one.Last, rng.Last)})
	}
	return all
}

// valid reports whether the ranges are sorted and apart, which data from disk may violate.
func (s Numbers) valid() bool {
	for i, rng := range s {
		if rng.First == 0 || rng.Last < rng.First || i > 0 && rng.First <= s[i-1].Last {
			return false
		}
	}
	return true
}
