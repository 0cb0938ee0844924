package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/treatrelay/relay/internal/simulator"
)

// The chaos test: real processes, servers and faults, and a checker that knows only which treats were emitted and which each
// sink received. `make chaos` runs it in full, .ci/run a part of it.
var (
	chaosKills   = flag.Int("chaos.kills", 0, "run the proof by violence, with so many kills of relay")
	chaosRounds  = flag.Int("chaos.rounds", 1, "how often each of the other faults comes")
	chaosLongest = flag.Duration("chaos.longest", 6*time.Second, "the longest time that a fault lasts")
	chaosRate    = flag.Int("chaos.rate", 200, "treats a second")
	chaosSeed    = flag.Uint64("chaos.seed", 0, "repeat the faults of this seed")
	chaosOnly    = flag.String("chaos.only", "", "only the faults whose name contains this")
	chaosJournal = flag.String("chaos.journal", "files", "where the journal is: files or external, a cluster of three NATS servers")
	chaosOut     = flag.String("chaos.out", "", "folder for the verdict and the logs")
)

// TestChaos emits treats without a pause while relay and everything around it fail in every way they can. In the end
// every treat that was emitted must be in the journal and at every sink, NATS must have each once, and a strict sink in order.
func TestChaos(t *testing.T) {
	if *chaosKills == 0 {
		t.Skip("takes minutes: make chaos runs it, and .ci/run a cut of it")
	}
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	announce("chaos: seed %d, %d kills, %d rounds of the other faults, %d treats a second, journal %s",
		seed, *chaosKills, *chaosRounds, *chaosRate, *chaosJournal)
	c := newChaos(t, seed, simulator.Config{})
	c.startRelay()
	c.awaitConnected()
	c.emit(*chaosRate)

	var plan []*fault
	kill, others := c.faults()
	for left := *chaosKills; left > 0; {
		n := min(left, 1+c.random.IntN(5))
		plan = append(plan, kill(n))
		left -= n
	}
	for range *chaosRounds {
		plan = append(plan, others()...)
	}
	c.random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	for i, f := range plan {
		c.inject(f, i, len(plan))
	}
	c.stopEmission()
	c.finish()
	v := c.verdict()
	table := v.String()
	announce("\n%s", table)
	if *chaosOut != "" {
		c.save(".txt", table)
	}
	if !v.good() {
		t.Errorf("the verdict is bad: %s; repeat it with -chaos.seed %d", v.against(), seed)
	}
}

// announce prints progress at once, which a log of the test would not.
func announce(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// inject injects one fault, and measures the time from its end until every sink has all treats emitted by then.
func (c *chaos) inject(f *fault, n, of int) {
	c.t.Helper()
	if *chaosOnly != "" && !f.matches(*chaosOnly) {
		return
	}
	lasts := f.lasts(c.random)
	c.note("fault %d of %d: %s for %v", n+1, of, f.name, lasts.Round(10*time.Millisecond))
	repeats := c.repeats(c.ledger.sinks...)
	f.begin()
	if f.during == nil {
		c.sleep(lasts)
	} else {
		f.during(lasts)
	}
	f.end()
	mark, ended, told := c.ledger.count(), time.Now(), 1
	for {
		behind := c.ledger.behind(mark)
		if behind == "" {
			break
		}
		if time.Since(ended) > recoveryLimit {
			c.t.Errorf("%s: not recovered within %v: %s", f.name, recoveryLimit, behind)
			c.note("NOT recovered: %s", behind)
			break
		}
		if time.Since(ended) > time.Duration(told)*10*time.Second {
			told++
			c.note("not yet: %s", behind)
		}
		c.supervise()
		c.sleep(20 * time.Millisecond)
	}
	took := time.Since(ended)
	c.recoveries = append(c.recoveries, recovery{f.name, took})
	c.note("recovered after %v, %d treats emitted", took.Round(10*time.Millisecond), mark)
	if after := c.repeats(c.ledger.sinks...); after != repeats {
		c.note("came again so far: %s", after)
	}
}

// recoveryLimit is the longest time to recover from a fault.
const recoveryLimit = 3 * time.Minute

// A fault is one kind of failure.
type fault struct {
	name     string
	shortest time.Duration
	longest  time.Duration
	begin    func()
	during   func(lasts time.Duration) // nil: nothing more happens
	end      func()
}

func (f *fault) lasts(random *rand.Rand) time.Duration {
	if f.longest <= f.shortest {
		return f.shortest
	}
	return f.shortest + time.Duration(random.Int64N(int64(f.longest-f.shortest)))
}
