package match

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/treatrelay/relay/pipeline/intake/fingerprint"
)

// What came live and is not in the history, though that reaches beyond it, is in it in a form that cannot be recognized: the history is complete.
// Treats of the reply that may be such are not journaled from it. If they are different ones after all, they are when the history has both.
const (
	// around is how far apart treats are that say of each other whether the history is comparable.
	around = 15 * minute
	// aside is how many seconds apart the dates of two treats are at most that have nothing else in common.
	aside = 2
)

// A witness is a treat that shows whether those around it are recognized.
type witness struct {
	second int64
	known  bool
}

// witnesses are in the order of their dates.
type witnesses struct {
	all   []witness
	known []int // how many are, of those before
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

// tester sends what another program for this provider takes for tests: they may be in no history.
const tester = "SYSTEM"

// expected reports whether a live treat belongs in the reply, now or later.
func (c *Comparison) expected(o *own) bool {
	if _, there := c.slots[o.same]; there || o.core.SentBy(tester) || o.kind != ownLive || o.same.Second < c.since {
		return false // the provider has sent one twice that is there once
	}
	return true
}

// due reports whether a live treat should be in the reply. A provider may take a while to put into its history what it has just sent.
func (c *Comparison) due(o *own) bool {
	switch {
	case !c.expected(o):
		return false
	case o.age >= freshness:
		return true
	case o.age >= freshness/10:
		return o.same.Second <= c.until+nearby
	}
	return o.same.Second < c.until // later ones are there
}

// withhold finds the treats of the reply that have no partner where most live treats have none either.
func (c *Comparison) withhold() {
	twins := make(map[fingerprint.Core][]int64) // the dates of those without a partner
	theirs := make([]witness, len(c.treats))
	for i := range c.treats {
		p := &c.treats[i]
		theirs[i] = witness{p.Same.Second, c.partners[i] != alone}
		if c.partners[i] == alone {
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
		case o.partner != alone, c.due(o):
			live = append(live, witness{o.same.Second, o.partner != alone})
		case len(dates) > 0: // it is there with another date
			live, twins[o.core] = append(live, witness{dates[0], false}), dates[1:]
		}
	}
	all, came := witnessesOf(theirs), witnessesOf(live)
	for i := range c.treats {
		c.withheld[i] = c.partners[i] == alone && unlike(&all, &came, c.treats[i].Same.Second)
	}
}

// unlike reports whether most treats around a time have no partner on either side, or all of a longer time.
func unlike(theirs, live *witnesses, at int64) bool {
	known, unknown := live.between(at-around, at+around)
	if unknown > known {
		if k, u := theirs.between(at-around, at+around); u > k {
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

// pairUnlike withholds the treats of the reply that may be single ones that came live: of the same time, or the same but for the date.
func (c *Comparison) pairUnlike() {
	var left []*own
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == alone && c.due(o) {
			left = append(left, o)
		}
	}
	slices.SortStableFunc(left, func(a, b *own) int { return cmp.Compare(a.same.Second, b.same.Second) })
	taken := make([]bool, len(left))
	for i := range c.treats {
		if c.partners[i] != alone || c.withheld[i] {
			continue
		}
		p := &c.treats[i]
		from := sort.Search(len(left), func(j int) bool { return left[j].same.Second >= p.Same.Second-around })
		for j := from; j < len(left) && left[j].same.Second <= p.Same.Second+around; j++ {
			off := left[j].same.Second - p.Same.Second
			if !taken[j] && (max(off, -off) <= aside || left[j].core == p.Core) {
				taken[j], c.withheld[i] = true, true
				break
			}
		}
	}
}

// pairNewest withholds a treat of the reply that may be one that came just now, in another form: nobody else is alone at about that time, on either
// side, and they have the same sender or message. In a burst many are alone at that time, because the reply was given meanwhile: what was missed does not wait then.
func (c *Comparison) pairNewest() {
	var left []*own
	for i := range c.owns {
		if o := &c.owns[i]; o.partner == alone && c.expected(o) {
			left = append(left, o)
		}
	}
	slices.SortStableFunc(left, func(a, b *own) int { return cmp.Compare(a.same.Second, b.same.Second) })
	var missing []int
	for i := range c.treats {
		if c.partners[i] == alone && !c.withheld[i] {
			missing = append(missing, i)
		}
	}
	for k, i := range missing {
		p := &c.treats[i]
		near := func(second int64) bool { return max(second-p.Same.Second, p.Same.Second-second) <= aside }
		j := sort.Search(len(left), func(j int) bool { return left[j].same.Second >= p.Same.Second-aside })
		switch {
		case j == len(left) || !near(left[j].same.Second), j+1 < len(left) && near(left[j+1].same.Second),
			k > 0 && near(c.treats[missing[k-1]].Same.Second), k+1 < len(missing) && near(c.treats[missing[k+1]].Same.Second):
		default:
			c.withheld[i] = left[j].core.Shares(p.Core)
		}
	}
}

// Withheld is how many treats of the reply are not journaled because they may be live ones in a form that cannot be recognized, and the date of the
// first. It is to be called after [Comparison.Match].
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
