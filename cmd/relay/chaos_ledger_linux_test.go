package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/treatrelay/relay/pipeline"
)

// A ledger is the checker's knowledge: what was emitted, and what came out at each sink.
type ledger struct {
	mu      sync.Mutex
	emitted []int // how many identical treats each number has: 1, or 2 for twins
	sinks   []*account
}

// An account is what one sink received.
type account struct {
	name   string
	ledger *ledger
	rest   []byte // of an unfinished line

	ids     map[int][]string // the ids under which each number came
	again   int              // deliveries of an id that had come before
	order   []string         // the ids in the order in which they came first
	foreign int              // what was never emitted
	done    int              // all numbers below have come
	digests map[string]int   // how many treats each digest sums up, by its id
}

func (l *ledger) add(name string) *account {
	a := &account{name: name, ledger: l, ids: make(map[int][]string)}
	l.sinks = append(l.sinks, a)
	return a
}

// aside makes an account that nobody waits for: of what it is told by digests it cannot be said which treats those are.
func (l *ledger) aside(name string) *account {
	return &account{name: name, ledger: l, ids: make(map[int][]string), digests: make(map[string]int)}
}

// total is how many treats were emitted.
func (l *ledger) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, of := range l.emitted {
		n += of
	}
	return n
}

// emit notes that number is about to be emitted, n times.
func (l *ledger) emit(n int) (number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emitted = append(l.emitted, n)
	return len(l.emitted) - 1
}

// count is how many numbers were emitted.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.emitted)
}

// behind says which sink has not got every number below mark; it is empty if all have.
func (l *ledger) behind(mark int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var behind []string
	for _, a := range l.sinks {
		for a.done < mark && len(a.ids[a.done]) >= l.emitted[a.done] {
			a.done++
		}
		if a.done < mark {
			behind = append(behind, fmt.Sprintf("%s lacks number %d of %d", a.name, a.done, mark))
		}
	}
	return strings.Join(behind, ", ")
}

const chaosTitle = "Pizza "

// numberOf reads the number in a title.
func numberOf(title string) (int, bool) {
	text, ok := strings.CutPrefix(title, chaosTitle)
	n, err := strconv.Atoi(text)
	return n, ok && err == nil
}

// take notes an event, and reports its number.
func (a *account) take(line []byte) {
	var e struct {
		ID, Type string
		Data     struct {
			Title string
			Count int
		}
	}
	err := json.Unmarshal(line, &e)
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	if a.digests != nil && e.Type == pipeline.DigestType {
		if _, again := a.digests[e.ID]; again {
			a.again++
		}
		a.digests[e.ID] = e.Data.Count
		return
	}
	n, ok := numberOf(e.Data.Title)
	if err != nil || !ok || n >= len(a.ledger.emitted) || e.ID == "" {
		a.foreign++
		return
	}
	if slices.Contains(a.ids[n], e.ID) {
		a.again++
		return
	}
	a.ids[n] = append(a.ids[n], e.ID)
	a.order = append(a.order, e.ID)
}

// Write takes what a process prints. A line that was cut off by a kill is no event.
func (a *account) Write(p []byte) (int, error) {
	a.rest = append(a.rest, p...)
	for {
		line, rest, ok := bytes.Cut(a.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		a.take(line)
		a.rest = append([]byte(nil), rest...)
	}
}

// received is how many treats came, one by one or in digests.
func (a *account) received() (n int) {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	for _, ids := range a.ids {
		n += len(ids)
	}
	for _, of := range a.digests {
		n += of
	}
	return n
}

// A tally is what the checker says of one sink.
type tally struct {
	name                                        string
	delivered, lost, again, foreign, disordered int
	strict, once                                bool // it must have no event out of order, and none twice
}

// judge compares what a sink received with what was emitted, and its order with that of the journal.
func (a *account) judge(journal []string, strict, once bool) tally {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	v := tally{name: a.name, again: a.again, foreign: a.foreign, strict: strict, once: once}
	for number, n := range a.ledger.emitted {
		got := len(a.ids[number])
		v.delivered += min(got, n)
		v.lost += max(n-got, 0)
		v.foreign += max(got-n, 0)
	}
	place := make(map[string]int, len(journal))
	for i, id := range journal {
		place[id] = i
	}
	last := -1
	for _, id := range a.order {
		at, ok := place[id]
		if !ok {
			continue // counted as lost by the journal
		}
		if at < last {
			v.disordered++
		}
		last = max(last, at)
	}
	return v
}

// judgeSum compares how many treats came with how many were emitted.
func (a *account) judgeSum() tally {
	got, want := a.received(), a.ledger.total()
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	return tally{
		name: fmt.Sprintf("%s: %d", a.name, len(a.digests)), again: a.again,
		delivered: min(got, want), lost: max(want-got, 0), foreign: a.foreign + max(got-want, 0),
	}
}

func (v tally) good() bool {
	return v.lost == 0 && v.foreign == 0 && (!v.strict || v.disordered == 0) && (!v.once || v.again == 0)
}

type recovery struct {
	fault string
	took  time.Duration
}

// A verdict is what came of it all.
type verdict struct {
	emitted    int
	sinks      []tally // the journal is the first
	recoveries []recovery
	remarks    []string
	failed     bool
}

func (v *verdict) good() bool {
	return !v.failed && !slices.ContainsFunc(v.sinks, func(s tally) bool { return !s.good() })
}

func (v *verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d treats emitted\n\n", v.emitted)
	fmt.Fprintf(&b, "%-22s %10s %6s %10s %8s %13s\n", "", "received", "lost", "duplicates", "foreign", "out of order")
	for _, s := range v.sinks {
		mark := ""
		if !s.good() {
			mark = "  <- BAD"
		}
		fmt.Fprintf(&b, "%-22s %10d %6d %10d %8d %13d%s\n", s.name, s.delivered, s.lost, s.again, s.foreign, s.disordered, mark)
	}
	by := make(map[string][]time.Duration)
	var names []string
	for _, r := range v.recoveries {
		if by[r.fault] == nil {
			names = append(names, r.fault)
		}
		by[r.fault] = append(by[r.fault], r.took)
	}
	slices.Sort(names)
	fmt.Fprintf(&b, "\n%-40s %6s %14s %10s\n", "fault", "times", "recovery, median", "worst")
	for _, name := range names {
		all := by[name]
		slices.SortFunc(all, cmp.Compare[time.Duration])
		fmt.Fprintf(&b, "%-40s %6d %14.2f s %8.2f s\n", name, len(all), all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
	}
	for _, r := range v.remarks {
		fmt.Fprintf(&b, "\n%s", r)
	}
	verdict := "nothing lost, nothing twice"
	if !v.good() {
		verdict = "BAD"
	}
	fmt.Fprintf(&b, "\nverdict: %s\n", verdict)
	return b.String()
}
