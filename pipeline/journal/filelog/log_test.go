package filelog

import (
	"errors"
	"testing"

	"github.com/treatrelay/relay/pipeline/journal"
)

// What is appended is read back, from any place, after any number of starts, over segments.
func TestAppendAndRead(t *testing.T) {
	t.Parallel()
	for _, segment := range []int64{minSegment, 64 << 10, 0} {
		r := newRig(t, segment)
		n := 0
		for range 3 {
			l := r.open()
			for i := range 40 {
				add(t, l, uint64(n+1), entries(n+1, i))
				n += i
			}
			for _, limit := range []int{1, 7, 10000} {
				check(t, all(t, l, limit), uint64(n))
			}
			some, err := l.Read(t.Context(), uint64(n/2), 3)
			if err != nil || len(some) != 3 || some[0].Number != uint64(n/2) {
				t.Fatal(some, err)
			}
			first, next := l.Bounds()
			if first != 1 || next != uint64(n+1) {
				t.Fatal(first, next)
			}
			reader, err := OpenReader(t.Context(), Options{Dir: r.opts.Dir})
			if err != nil {
				t.Fatal(err)
			}
			check(t, all(t, reader, 13), uint64(n))
			changed := reader.Changed()
			add(t, l, uint64(n+1), entries(n+1, 1))
			n++
			<-changed
			check(t, all(t, reader, 500), uint64(n))
			if _, err := reader.Append(t.Context(), entries(1, 1)); !errors.Is(err, errReadOnly) {
				t.Fatal(err)
			}
			closeLog(t, reader)
			closeLog(t, l)
		}
		if d := r.reported(); len(d) > 0 {
			t.Fatal(d)
		}
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	l := r.open()
	add(t, l, 1, entries(1, 5))
	if err := l.Reserve(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := l.Reserve(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	add(t, l, 10, entries(10, 5))
	for range 2 {
		check(t, all(t, l, 3), 14, journal.Range{First: 6, Last: 9})
		gaps, err := l.Gaps(t.Context())
		if err != nil || len(gaps) != 1 || gaps[0] != (journal.Range{First: 6, Last: 9}) {
			t.Fatal(gaps, err)
		}
		closeLog(t, l)
		l = r.open()
	}
	closeLog(t, l)
	if d := r.reported(); len(d) > 0 {
		t.Fatal(d)
	}
}
