package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/segment"
)

// found reads the records of a segment's bytes as sealed ones and as those of the last segment.
func found(t testing.TB, b []byte, first, last uint64) (records []journal.Record, lost gapSet) {
	t.Helper()
	s := &frame.Scanner{R: bytes.NewReader(b), Size: int64(len(b)), Prev: first - 1, Limit: last, Chunk: 256, Keep: true}
	err := segment.Walk(s, first, last, func(it *frame.Item) (bool, error) {
		e, err := journal.ParseEntry(it.Body)
		if err != nil {
			return false, err
		}
		records = append(records, journal.Record{Number: it.Number, Entry: e})
		return true, nil
	}, func(l segment.Loss) { lost.add(l.Numbers) })
	if err != nil {
		t.Fatal(err)
	}
	return records, lost
}

// Every change of every byte of a segment costs at most the record it is in, read as a sealed one and as the last one.
func TestEveryByteInMemory(t *testing.T) {
	t.Parallel()
	whole := segment.Header(1)
	const last = 9
	for i := 1; i <= last; i++ {
		e := entry(i)
		flags := uint32(0)
		if i%3 == 1 {
			flags = frame.FlagSynced
		}
		whole = frame.Append(whole, uint64(i), flags, &e)
	}
	whole = append(whole, make([]byte, 64)...)
	for _, in := range injuries() {
		for at := range whole {
			if in.name == "cut" {
				continue
			}
			for value := range 256 {
				if in.name != "flip" && value > 0 {
					break
				}
				b := slices.Clone(whole)
				if in.name == "flip" {
					b[at] ^= byte(value)
				} else {
					b = in.apply(b, at)
				}
				what := fmt.Sprintf("%s at %d", in.name, at)
				records, lost := found(t, b, 1, last)
				if n := sum(lost); n > 1 || len(records)+n != last {
					t.Fatalf("%s: %d records, lost %v", what, len(records), lost)
				}
				check(t, records, last, lost...)
				tl, err := segment.ReadTail(bytes.NewReader(b), 1, int64(len(b)), last)
				if err != nil || int(tl.Count)+sum(lost) != last {
					t.Fatalf("%s: the tail has %d records, %v", what, tl.Count, err)
				}
			}
		}
	}
}

func sum(g gapSet) (n int) {
	for _, s := range g {
		n += int(s.Last - s.First + 1)
	}
	return n
}

// An entry's data that holds whole frames does not confuse the reader, whatever happens to the frame around it.
func TestFramesInData(t *testing.T) {
	t.Parallel()
	inner := entry(99)
	e := entry(2)
	e.Data = frame.Append(nil, 2, 0, &inner)
	one, three := entry(1), entry(3)
	b := frame.Append(frame.Append(frame.Append(segment.Header(1), 1, 0, &one), 2, 0, &e), 3, 0, &three)
	records, lost := found(t, b, 1, 3)
	if len(records) != 3 || len(lost) != 0 || records[1].ID != "trt_2" {
		t.Fatal(records, lost)
	}
}

func FuzzSegment(f *testing.F) {
	b := segment.Header(1)
	for i := 1; i <= 5; i++ {
		e := entry(i)
		b = frame.Append(b, uint64(i), frame.FlagSynced, &e)
	}
	f.Add(b, uint16(100), uint16(3), byte(1))
	f.Add(b[:len(b)/2], uint16(0), uint16(0), byte(0))
	f.Add(append(slices.Clone(b), make([]byte, 100)...), uint16(30), uint16(400), byte(255))
	f.Fuzz(func(t *testing.T, b []byte, at, n uint16, value byte) {
		if from := min(int(at), len(b)); n > 0 {
			for i := from; i < min(from+int(n), len(b)); i++ {
				b[i] ^= value
			}
		}
		const last = 1000
		records, lost := found(t, b, 1, last)
		prev := uint64(0)
		for _, r := range records {
			if r.Number <= prev || r.Number > last {
				t.Fatalf("number %d after %d", r.Number, prev)
			}
			prev = r.Number
		}
		if len(records)+sum(lost) != last {
			t.Fatalf("%d records and %d lost", len(records), sum(lost))
		}
		for _, synced := range []uint64{0, 3, 5} {
			tl, err := segment.ReadTail(bytes.NewReader(b), 1, int64(len(b)), synced)
			if err != nil {
				t.Fatal(err)
			}
			var gone gapSet
			for _, l := range tl.Losses {
				gone.add(l.Numbers)
			}
			if tl.End < 0 || tl.End > int64(len(b)) || int(tl.Count)+sum(gone) < int(synced) {
				t.Fatalf("synced %d: %d records, %v lost, end %d of %d", synced, tl.Count, gone, tl.End, len(b))
			}
			for _, s := range gone {
				if s.Last > max(tl.Last, tl.Synced) {
					t.Fatalf("lost %v, but only %d was given", gone, tl.Synced)
				}
			}
		}
	})
}

// badDisk cannot read some blocks.
type badDisk struct {
	r   io.ReaderAt
	bad map[int64]bool
}

var errDisk = errors.New("input/output error")

func (d *badDisk) ReadAt(b []byte, off int64) (int, error) {
	for at := off &^ 4095; at < off+int64(len(b)); at += 4096 {
		if d.bad[at] {
			return 0, errDisk
		}
	}
	return d.r.ReadAt(b, off)
}

// A block that the disk cannot read costs the records in it, and no others.
func TestUnreadableBlock(t *testing.T) {
	t.Parallel()
	b := segment.Header(1)
	const last = 300
	for i := 1; i <= last; i++ {
		e := entry(i)
		b = frame.Append(b, uint64(i), frame.FlagSynced, &e)
	}
	c, err := segment.Survey(&badDisk{bytes.NewReader(b), map[int64]bool{8192: true}}, 1, last, int64(len(b)), func(l segment.Loss) {
		if l.Offset > 8192 || l.Offset+l.Size < 8192+4096 || l.Size > 8192 {
			t.Errorf("%+v", l)
		}
	})
	if err != nil || c.Count < last-60 || c.Count == last {
		t.Fatal(c.Count, err)
	}
	all := map[int64]bool{}
	for at := int64(0); at < int64(len(b)); at += 4096 {
		all[at] = true
	}
	if _, err := segment.Survey(&badDisk{bytes.NewReader(b), all}, 1, last, int64(len(b)), func(segment.Loss) {}); !errors.Is(err, errDisk) {
		t.Fatal("a disk that reads nothing is not damage: ", err)
	}
}

func TestGapSet(t *testing.T) {
	t.Parallel()
	var g gapSet
	want := map[uint64]bool{}
	state := uint64(12345)
	for range 2000 {
		state = state*6364136223846793005 + 1442695040888963407
		first := state >> 33 % 500
		s := journal.Range{First: first, Last: first + state>>40%9}
		n := len(want)
		for i := s.First; i <= s.Last; i++ {
			want[i] = true
		}
		added := gapSet(g.add(s))
		if sum(added) != len(want)-n || sum(g) != len(want) {
			t.Fatalf("%v added to make %v", s, g)
		}
		for i := 1; i < len(g); i++ {
			if g[i].First <= g[i-1].Last+1 {
				t.Fatalf("%v", g)
			}
		}
		if len(want) > 400 {
			g, want = nil, map[uint64]bool{}
		}
	}
}

func FuzzIndex(f *testing.F) {
	c := segment.Contents{First: 5, Last: 9, Count: 5, Size: 1000, Oldest: epoch, Newest: epoch, Entries: []segment.IndexEntry{{Number: 5, Offset: 30}, {Number: 7, Offset: 500}}}
	f.Add(c.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := segment.ParseIndex(bytes.NewReader(b), 5, 1000, true)
		if err == nil && (got.First != 5 || got.Size != 1000 || len(got.Entries) > 1000) {
			t.Fatalf("%+v", got)
		}
	})
}
