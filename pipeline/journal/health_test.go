package journal

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// The rate counts the last 60 seconds, also over seconds in which nothing came and when the ring begins again.
func TestEventsOfTheLastMinute(t *testing.T) {
	var h health
	start := time.Unix(1_800_000_000, 0)
	for second := range 200 {
		if second%2 == 0 {
			h.wrote(start.Add(time.Duration(second)*time.Second), 3)
		}
	}
	end := start.Add(199 * time.Second)
	for after, want := range map[time.Duration]uint64{0: 90, 30 * time.Second: 45, 2 * time.Minute: 0, -time.Hour: 0} {
		if got := h.now(end.Add(after)).LastMinute; got != want {
			t.Errorf("%v later: %d, want %d", after, got, want)
		}
	}
}

// Without a trace and metrics the stages cost nothing.
func TestStagesOff(t *testing.T) {
	j := newJournal(Config{})
	e := &Entry{Kind: Treat}
	if got := testing.AllocsPerRun(10, func() {
		j.reportStage(e, time.Time{}, time.Time{})
		j.writer.meters.written(nil, e, 0)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// The tail holds the newest records up to its bounds, without a hole.
func TestTail(t *testing.T) {
	var all tail
	large := Entry{Data: make([]byte, 1<<20)}
	for n := range uint64(40) {
		all.add([]Record{{n + 1, large}})
	}
	if all.bytes > tailBytes || all.records < tailBytes>>21 {
		t.Errorf("%d records of %d bytes", all.records, all.bytes)
	}
	if got := all.read(1, 10); got != nil {
		t.Errorf("what was let go of is read: %d", len(got))
	}
	if got := all.read(38, 10); len(got) != 3 || got[0].Number != 38 {
		t.Errorf("%d records", len(got))
	}
	all.add([]Record{{42, large}, {43, large}}) // 41 is somebody else's
	if all.read(40, 1) != nil || all.read(41, 1) != nil || len(all.read(42, 10)) != 2 {
		t.Error("there is a hole in what is read")
	}
	for n := range uint64(5 * tailRecords) {
		all.add([]Record{{n + 44, Entry{}}})
	}
	if got := all.records; got != tailRecords || cap(all.appends) > 4*tailRecords {
		t.Errorf("%d records in memory for %d", got, cap(all.appends))
	}
	last := uint64(43 + 5*tailRecords)
	if got := all.read(last-9, 100); len(got) != 10 || got[9].Number != last {
		t.Errorf("%d records at the end", len(got))
	}
	all.dropBefore(last)
	if got := all.read(last, 100); len(got) != 1 || all.read(last-1, 1) != nil {
		t.Errorf("%d records", len(got))
	}
	all.dropBefore(last + 1)
	if got := all.read(last, 100); got != nil {
		t.Errorf("%d records", len(got))
	}
}

// Whatever the appends are, a read returns what follows a number, and as many as it may.
func TestTailReads(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var all tail
	first, next := uint64(1), uint64(1)
	for range 3000 {
		switch random.IntN(10) {
		case 0:
			first = min(first+uint64(random.IntN(200)), next)
			all.dropBefore(first)
		default:
			records := make([]Record, 1+random.IntN(1+random.IntN(200)))
			for i := range records {
				records[i] = Record{Number: next, Entry: Entry{ID: strconv.FormatUint(next, 10)}}
				next++
			}
			all.add(records)
		}
		if len(all.appends) > 0 {
			first = max(first, all.appends[0][0].Number)
		}
		from, limit := first+uint64(random.IntN(int(next-first)+1)), 1+random.IntN(300)
		got := all.read(from, limit)
		if want := min(uint64(limit), next-from); uint64(len(got)) != want && (want < tailWhole || len(got) < tailWhole) {
			t.Fatalf("%d records from %d on, of %d to %d, at most %d", len(got), from, first, next-1, limit)
		}
		for i := range got {
			if got[i].Number != from+uint64(i) || got[i].ID != strconv.FormatUint(got[i].Number, 10) {
				t.Fatalf("%d is %d", from+uint64(i), got[i].Number)
			}
		}
	}
}
