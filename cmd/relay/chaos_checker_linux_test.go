package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The checker of TestChaos sees every kind of fault: it is shown a run that went well, and then the same with one thing wrong.
func TestChaosChecker(t *testing.T) {
	const n = 20
	event := func(id, number int) string {
		origin := "live"
		if number%5 == 4 {
			origin = "backfill"
		}
		return fmt.Sprintf(`{"id":"trt_%d","type":"treatrelay.treat.v1","origin":%q,"data":{"title":"%s%07d"}}`, id, origin, chaosTitle, number)
	}
	digest := func(id, count int) string {
		return fmt.Sprintf(`{"id":"dig_%d","type":"treatrelay.digest.v1","data":{"count":%d}}`, id, count)
	}
	for _, tt := range []struct {
		name  string
		wrong func(journal []string) []string // of what a sink receives
		want  tally
		good  bool
	}{
		{"all is well", func(j []string) []string { return j }, tally{delivered: n + 1}, true},
		{"one is lost", func(j []string) []string { return append(j[:5:5], j[6:]...) }, tally{delivered: n, lost: 1}, false},
		{"one of twins is lost", func(j []string) []string { return append(j[:7:7], j[8:]...) }, tally{delivered: n, lost: 1}, false},
		{"one comes again", func(j []string) []string { return append(j[:5:5], j[4:]...) }, tally{delivered: n + 1, again: 1}, false},
		{"one comes again under another id", func(j []string) []string { return append(j, event(99, 3)) }, tally{delivered: n + 1, foreign: 2}, false},
		{"one comes that nobody sent", func(j []string) []string { return append(j, event(99, n)) }, tally{delivered: n + 1, foreign: 1}, false},
		{"all come three times", func(j []string) []string { return slices.Concat(j, j, j) }, tally{delivered: n + 1, again: 2*n + 2}, false},
		{"garbage comes", func(j []string) []string { return append(j, "garbage") }, tally{delivered: n + 1, foreign: 1}, false},
		{"two change places", func(j []string) []string {
			j = append([]string(nil), j...)
			j[10], j[11] = j[11], j[10]
			return j
		}, tally{delivered: n + 1, disordered: 1}, false},
	} {
		l := &ledger{}
		sink, reader := l.add("sink"), l.aside("digests")
		journal := newSinkAccount("journal", l)
		var lines []string
		for number := range n {
			twins := 1
			if number == 7 {
				twins = 2
			}
			l.emit(twins)
			for range twins {
				lines = append(lines, event(len(lines), number))
			}
		}
		if _, err := journal.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
			t.Fatal(err)
		}
		if behind := l.behind(n); behind == "" {
			t.Errorf("%s: nothing has come, and nobody is behind", tt.name)
		}
		for _, line := range tt.wrong(lines) {
			sink.take([]byte(line))
		}
		got := sink.judge(journal, 0)
		tt.want.name = "sink"
		if got != tt.want || got.good() != tt.good {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if behind := l.behind(n); (behind == "") != (tt.want.lost == 0) {
			t.Errorf("%s: behind is %q", tt.name, behind)
		}
		if journal := journal.judgeJournal(); !journal.good() || journal.delivered != n+1 {
			t.Errorf("%s: the journal is %+v", tt.name, journal)
		}

		if late := newSinkAccount("journal", l); true {
			for _, i := range []int{1, 0, 2} { // live events in another order
				late.take([]byte(lines[i]))
			}
			if v := late.judgeJournal(); v.disordered != 1 {
				t.Errorf("a journal out of order: %+v", v)
			}
		}

		// Of 21 events four are from the history: numbers 4, 9, 14 and 19.
		for _, line := range lines {
			if strings.Contains(line, `"live"`) {
				reader.take([]byte(line))
			}
		}
		check := func(name string, want tally, good bool) {
			t.Helper()
			want.name = fmt.Sprintf("digests: %d", len(reader.digests))
			if v := reader.judgeDigests(journal, 1); v != want || v.good() != good {
				t.Errorf("%s: %+v, want %+v", name, v, want)
			}
		}
		want := tally{delivered: n, lost: 1, copies: 1}
		reader.take([]byte(digest(1, 3)))
		check("a digest short of one", want, false)
		reader.take([]byte(digest(1, 3)))
		reader.take([]byte(digest(2, 1)))
		want.delivered, want.lost, want.again = n+1, 0, 1
		check("all in digests", want, true)
		reader.take([]byte(lines[4]))
		want.foreign = 1
		check("one in a digest and by itself", want, false)
		reader.take([]byte(digest(2, 2)))
		want.foreign, want.again = 3, 2
		check("a digest that changes", want, false)
	}
}

// The checker knows that a journal which has lost its end gets the events back at other places, and that a sink may have had them before.
func TestChaosCheckerAfterLoss(t *testing.T) {
	line := func(n int, origin string) []byte {
		return fmt.Appendf(nil, `{"id":"trt_%d","type":"treatrelay.treat.v1","origin":%q,"data":{"title":"%s%07d"}}`, n, origin, chaosTitle, n)
	}
	for _, tt := range []struct {
		name  string
		order []int
		want  tally
	}{
		{"all before the loss", []int{0, 1, 2, 3, 4, 5}, tally{delivered: 6}},
		{"some after it", []int{0, 1, 2, 4, 5, 3}, tally{delivered: 6}},
		{"lost events in the wrong order", []int{0, 1, 3, 4, 2, 5}, tally{delivered: 6, disordered: 1}},
		{"one never", []int{0, 1, 2, 4, 5}, tally{delivered: 5, lost: 1}},
		{"one again", []int{0, 1, 2, 3, 4, 5, 2}, tally{delivered: 6, again: 1}},
	} {
		l := &ledger{}
		sink, reader := l.add("sink"), l.aside("digests")
		for range 6 {
			l.emit(1)
		}
		// Numbers 1 to 4 are given, 3 and 4 are lost, and come back behind 5 and 6.
		for n := range 4 {
			l.journaled(fmt.Sprint("trt_", n), uint64(n+1))
		}
		journal := newSinkAccount("journal", l)
		for number, n := range map[uint64]int{1: 0, 2: 1, 5: 4, 6: 5, 7: 2, 8: 3} {
			l.journaled(fmt.Sprint("trt_", n), number)
		}
		for _, n := range []int{0, 1, 4, 5} {
			journal.take(line(n, "live"))
		}
		for _, n := range []int{2, 3} {
			journal.take(line(n, "backfill"))
		}
		for _, n := range tt.order {
			sink.take(line(n, "live"))
		}
		if tt.want.name = "sink"; sink.judge(journal, 0) != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, sink.judge(journal, 0), tt.want)
		}
		for _, n := range []int{0, 1, 2, 4, 5} {
			reader.take(line(n, "live"))
		}
		reader.take([]byte(`{"id":"dig_1","type":"treatrelay.digest.v1","data":{"count":1}}`))
		if v := reader.judgeDigests(journal, 0); !v.good() || v.delivered != 6 {
			t.Errorf("%s: digests: %+v", tt.name, v)
		}
	}
}
