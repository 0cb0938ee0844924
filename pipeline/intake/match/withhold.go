package match

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

// The history is complete. So a live treat that it lacks, though it reaches beyond it, must be in it in a form that is
// not recognized. Treats of the reply that may be such are withheld, not backfilled. If they were different treats
// after all, they are backfilled once the history has both.
const (
	// witnessRange is how many seconds apart treats may be to show for each other whether the history is comparable.
	witnessRange = 15 * minute
	// withholdWithin is how many seconds apart the dates of two treats may be for one to be withheld because of the other,
	// if they have nothing else in common.
	withholdWithin = 2
)

// A witness is a treat that shows whether treats near it are recognized.
type witness struct {
	second int64
	known  bool
}

// witnesses are sorted by date.
type witnesses struct {
	all   []witness
	known []int // how many of the earlier ones are recognized
}

func witnessesOf(all []witness) witnesses {
	slices.SortStableFunc(all, func(a, b witness) int { return cmp.Compare(a.second, b.second) })
	known := make([]int, len(all)+1)
	for i, w := range all {
		if known[i+1] = known[i]; w.known {
			known[i+1]++
		}
	}
	return witnesses{all, known}
}

func (w *witnesses) between(from, to int64) (known, unknown int) {
	first := sort.Search(len(w.all), func(i int) bool { return w.all[i].second >= from })
	after := sort.Search(len(w.all), func(i int) bool { return w.all[i].second > to })
	known = w.known[after] - w.known[first]
	return known, after - first - known
}

// testSender is the sender of what another program for this provider treats as tests. The history may lack them.
const testSender = "SYSTEM"

// expected reports whether the reply holds a live treat, or a later one will.
func (c *Comparison) expected(o *ownTreat) bool {
	if _, there := c.slots[o.same]; there {
		return false // the reply has an equal treat: the provider sent one treat twice
	}
	if o.core.SentBy(testSender) {
		return false // the history may lack tests
	}
	// Only live treats count, and those before the oldest treat of the reply are beyond its reach.
	return o.kind == ownLive && o.same.Second >= c.since
}

// due reports whether the reply should hold a live treat. A provider may take a while to add a treat to its history.
func (c *Comparison) due(o *ownTreat) bool {
	switch {
	case !c.expected(o):
		return false
	case o.age >= freshness:
		return true
	case o.age >= freshness/10:
		return o.same.Second <= c.until+dateTolerance
	}
	return o.same.Second < c.until // later treats are in the reply
}

// withhold finds the treats of the reply to withhold: those without a partner where most live treats have none either.
func (c *Comparison) withhold() {
	twins := make(map[fingerprint.Core][]int64) // dates of treats without a partner
	theirs := make([]witness, len(c.treats))
	for i := range c.treats {
		p := &c.treats[i]
		theirs[i] = witness{p.Same.Second, c.partners[i] != unmatched}
		if c.partners[i] == unmatched {
			twins[p.Core] = append(twins[p.Core], p.Same.Second)
		}
	}
	if len(twins) == 0 {
		return
	}
	var live []witness
	for i := range c.owns {
		o := &c.owns[i]
		switch dates := twins[o.core]; {
		case o.kind != ownLive:
		case o.partner != unmatched, c.due(o):
			live = append(live, witness{o.same.Second, o.partner != unmatched})
		case len(dates) > 0: // it is in the reply with another date
			live, twins[o.core] = append(live, witness{dates[0], false}), dates[1:]
		}
	}
	all, came := witnessesOf(theirs), witnessesOf(live)
	for i := range c.treats {
		c.withheld[i] = c.partners[i] == unmatched && unlike(&all, &came, c.treats[i].Same.Second)
	}
}

// unlike reports whether most treats near a time have no partner on either side, or all treats of a longer time.
func unlike(theirs, live *witnesses, at int64) bool {
	known, unknown := live.between(at-witnessRange, at+witnessRange)
	if unknown > known {
		if k, u := theirs.between(at-witnessRange, at+witnessRange); u > k {
			return true
		}
	}
	const long = int64(WrongZone / time.Second)
	known, unknown = live.between(at-long, at+long)
	if known > 0 || unknown == 0 {
		return false
	}
	known, _ = theirs.between(at-long, at+long)
	return known == 0
}

// ownsLeft are relay's treats without a partner that a condition holds for, ordered by date.
func (c *Comparison) ownsLeft(condition func(*ownTreat) bool) (left []*ownTreat) {
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == unmatched && condition(o) {
			left = append(left, o)
		}
	}
	slices.SortStableFunc(left, func(a, b *ownTreat) int { return cmp.Compare(a.same.Second, b.same.Second) })
	return left
}

// withholdUnrecognized withholds treats of the reply that may be live treats without a partner: of the same time, or equal but
// for the date.
func (c *Comparison) withholdUnrecognized() {
	left := c.ownsLeft(c.due)
	taken := make([]bool, len(left))
	for i := range c.treats {
		if c.partners[i] != unmatched || c.withheld[i] {
			continue
		}
		p := &c.treats[i]
		from := sort.Search(len(left), func(j int) bool { return left[j].same.Second >= p.Same.Second-witnessRange })
		for j := from; j < len(left) && left[j].same.Second <= p.Same.Second+witnessRange; j++ {
			off := left[j].same.Second - p.Same.Second
			if !taken[j] && (max(off, -off) <= withholdWithin || left[j].core == p.Core) {
				taken[j], c.withheld[i] = true, true
				break
			}
		}
	}
}

// withholdNewest withholds a treat of the reply that may be one that just arrived in another form. They must have the same
// sender or message, and no other treat near that time may lack a partner. In a burst many lack one, because the reply
// was made meanwhile; then missed treats are not delayed.
func (c *Comparison) withholdNewest() {
	left := c.ownsLeft(c.expected)
	var missing []int
	for i := range c.treats {
		if c.partners[i] == unmatched && !c.withheld[i] {
			missing = append(missing, i)
		}
	}
	for k, i := range missing {
		p := &c.treats[i]
		near := func(second int64) bool { return max(second-p.Same.Second, p.Same.Second-second) <= withholdWithin }
		j := sort.Search(len(left), func(j int) bool { return left[j].same.Second >= p.Same.Second-withholdWithin })
		switch {
		case j == len(left) || !near(left[j].same.Second), j+1 < len(left) && near(left[j+1].same.Second),
			k > 0 && near(c.treats[missing[k-1]].Same.Second), k+1 < len(missing) && near(c.treats[missing[k+1]].Same.Second):
		default:
			c.withheld[i] = left[j].core.Shares(p.Core)
		}
	}
}

// Withheld returns how many treats of the reply are withheld, because they may be live treats in a form that is not
// recognized, and the date of the first. Call [Comparison.Match] first.
func (c *Comparison) Withheld() (n int, first time.Time) {
	for i, withheld := range c.withheld {
		if withheld {
			if n++; n == 1 {
				first = time.Unix(c.treats[i].Same.Second, 0).UTC()
			}
		}
	}
	return n, first
}
