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

// A ledger records which treats were emitted, and which each sink received.
type ledger struct {
	mu      sync.Mutex
	emitted []int // how many identical treats each number has: 1, or 2 for twins
	sinks   []*account
	numbers map[string][]uint64 // those that each event has had in the journal: several, if that lost it meanwhile
}

// An account records what one sink received.
type account struct {
	name   string
	ledger *ledger
	rest   []byte // of an unfinished line

	ids     map[int][]string  // the ids under which each number came
	origins map[string]string // of each id, as it came first
	numbers map[string]int    // of each id
	again   int               // deliveries of an id that had come before
	order   []string          // the ids in the order in which they came first
	foreign int               // what was never emitted
	done    int               // all numbers below have come
	digests map[string]int    // how many treats each digest sums up, by its id
	changed int               // digests that came again with another sum
}

func newSinkAccount(name string, l *ledger) *account {
	return &account{name: name, ledger: l, ids: make(map[int][]string), origins: make(map[string]string), numbers: make(map[string]int)}
}

func (l *ledger) add(name string) *account {
	a := newSinkAccount(name, l)
	l.sinks = append(l.sinks, a)
	return a
}

// aside creates an account that nobody waits for, because digests do not tell which treats they sum up.
func (l *ledger) aside(name string) *account {
	a := newSinkAccount(name, l)
	a.digests = make(map[string]int)
	return a
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

// journaled notes that the journal holds an event under a number.
func (l *ledger) journaled(id string, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.numbers == nil {
		l.numbers = make(map[string][]uint64)
	}
	if all := l.numbers[id]; len(all) == 0 || all[len(all)-1] < number {
		l.numbers[id] = append(all, number)
	}
}

// count is how many numbers were emitted.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.emitted)
}

// behind names a sink that lacks a number below mark; it is empty if there is none.
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

// take records an event, and returns its number.
func (a *account) take(line []byte) {
	var e struct {
		ID, Type, Origin string
		Data             struct {
			Title string
			Count int
		}
	}
	err := json.Unmarshal(line, &e)
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	if a.digests != nil && e.Type == pipeline.DigestType {
		if before, again := a.digests[e.ID]; again {
			a.again++
			if before != e.Data.Count {
				a.changed++
			}
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
	a.origins[e.ID], a.numbers[e.ID] = e.Origin, n
	a.order = append(a.order, e.ID)
}

// Write records the output of a process. A line cut off by a kill is no event.
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

// A tally is the checker's result for one sink.
type tally struct {
	name                                        string
	delivered, lost, again, foreign, disordered int
	copies                                      int // how many may have come again
}

// judge compares the events that a sink received with those emitted, and their order with the journal's. Up to copies events may be repeats.
func (a *account) judge(journal *account, copies int) tally {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	v := tally{name: a.name, again: a.again, foreign: a.foreign, copies: copies}
	for number, n := range a.ledger.emitted {
		got := len(a.ids[number])
		v.delivered += min(got, n)
		v.lost += max(n-got, 0)
		v.foreign += max(got-n, 0)
	}
	places := a.ledger.numbers
	if places == nil {
		places = make(map[string][]uint64, len(journal.order))
		for i, id := range journal.order {
			places[id] = []uint64{uint64(i)}
		}
	}
	last := uint64(0)
	for _, id := range a.order {
		if _, ok := journal.origins[id]; !ok || len(places[id]) == 0 {
			v.foreign++ // nothing is delivered that is not journaled
			continue
		}
		all := places[id]
		i, _ := slices.BinarySearch(all, last) // the place of it that the sink has come to
		if i == len(all) {
			v.disordered++
			continue
		}
		last = all[i]
	}
	return v
}

// judgeJournal compares the journal with what was emitted. What came live is in the order in which it was emitted.
func (a *account) judgeJournal() tally {
	v := a.judge(a, 0)
	last := -1
	for _, id := range a.order {
		if a.origins[id] != "live" {
			continue
		}
		if a.numbers[id] < last {
			v.disordered++
		}
		last = max(last, a.numbers[id])
	}
	return v
}

// judgeDigests compares what came one by one with what the journal has live, and the sum of the digests with how much it has from the
// history.
func (a *account) judgeDigests(journal *account, copies int) tally {
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	v := tally{name: fmt.Sprintf("%s: %d", a.name, len(a.digests)), again: a.again, foreign: a.foreign + a.changed, copies: copies}
	healed, cut := 0, 0
	for _, id := range journal.order {
		switch _, came := a.numbers[id]; {
		case came && len(a.ledger.numbers[id]) > 1:
			v.delivered++ // it came before the journal lost it
			cut++
		case journal.origins[id] != "live":
			healed++
			if came {
				v.foreign++ // it is in a digest as well
			}
		case came:
			v.delivered++
		default:
			v.lost++
		}
	}
	for _, id := range a.order {
		if _, ok := journal.origins[id]; !ok {
			v.foreign++ // nothing is delivered that is not journaled
		}
	}
	summed := 0
	for _, n := range a.digests {
		summed += n
	}
	v.delivered += min(summed, healed)
	v.lost += max(healed-summed, 0)
	// What came, was lost, and came again in a digest, is a repeat: relay was killed before it had noted that it came.
	repeated := min(max(summed-healed, 0), cut)
	v.again += repeated
	v.foreign += max(summed-healed, 0) - repeated
	return v
}

func (t tally) good() bool {
	return t.lost == 0 && t.foreign == 0 && t.disordered == 0 && t.again <= t.copies
}

type recovery struct {
	fault string
	took  time.Duration
}

// A verdict is the result of a run.
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

// against lists the faults of the run in one line.
func (v *verdict) against() string {
	why := slices.Clone(v.remarks)
	for _, s := range v.sinks {
		if !s.good() {
			why = append(why, fmt.Sprintf("%s: %d lost, %d duplicates of at most %d, %d foreign, %d out of order",
				s.name, s.lost, s.again, s.copies, s.foreign, s.disordered))
		}
	}
	if len(why) == 0 {
		why = append(why, "see the errors above")
	}
	return strings.Join(why, "; ")
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
