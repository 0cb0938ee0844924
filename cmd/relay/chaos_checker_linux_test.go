package main

import (
	"fmt"
	"strings"
	"testing"
)

// The checker of TestChaos sees every kind of fault: it is shown a run that went well, and then the same with one thing wrong.
func TestChaosChecker(t *testing.T) {
	const n = 20
	event := func(id, number int) string {
		return fmt.Sprintf(`{"id":"trt_%d","type":"treatrelay.treat.v1","data":{"title":"%s%07d"}}`, id, chaosTitle, number)
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
		{"one comes again under another id", func(j []string) []string { return append(j, event(99, 3)) }, tally{delivered: n + 1, foreign: 1}, false},
		{"one comes that nobody sent", func(j []string) []string { return append(j, event(99, n)) }, tally{delivered: n + 1, foreign: 1}, false},
		{"garbage comes", func(j []string) []string { return append(j, "garbage") }, tally{delivered: n + 1, foreign: 1}, false},
		{"two change places", func(j []string) []string {
			j = append([]string(nil), j...)
			j[10], j[11] = j[11], j[10]
			return j
		}, tally{delivered: n + 1, disordered: 1}, false},
	} {
		l := &ledger{}
		sink, reader := l.add("sink"), l.aside("digests")
		journal := &account{ledger: l, ids: make(map[int][]string)}
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
		got := sink.judge(journal.order, true, true)
		tt.want.name, tt.want.strict, tt.want.once = "sink", true, true
		if got != tt.want || got.good() != tt.good {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if behind := l.behind(n); (behind == "") != (tt.want.lost == 0) {
			t.Errorf("%s: behind is %q", tt.name, behind)
		}
		if journal := journal.judge(journal.order, true, true); !journal.good() || journal.delivered != n+1 {
			t.Errorf("%s: the journal is %+v", tt.name, journal)
		}

		reader.take([]byte(lines[0]))
		reader.take([]byte(digest(1, n-1)))
		reader.take([]byte(digest(1, n-1)))
		if v := reader.judgeSum(); v.lost != 1 || v.again != 1 || v.good() {
			t.Errorf("a digest short of one: %+v", v)
		}
		reader.take([]byte(digest(2, 1)))
		if v := reader.judgeSum(); v.lost != 0 || v.foreign != 0 || !v.good() {
			t.Errorf("all in digests: %+v", v)
		}
		reader.take([]byte(digest(3, 1)))
		if v := reader.judgeSum(); v.foreign != 1 || v.good() {
			t.Errorf("one too many in digests: %+v", v)
		}
	}
}
