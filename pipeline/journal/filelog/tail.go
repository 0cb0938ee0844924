package filelog

import (
	"io"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
)

// tail is what the segment that was written to last holds.
type tail struct {
	contents
	end    int64  // where the next frame goes
	torn   bool   // bytes follow that no sync has confirmed
	losses []loss // what was damaged of what was synced
	synced uint64 // everything up to this number was synced
	group  uint64 // the first record of the last append
}

// breach is a place of a segment where something else is than the next record.
type breach struct {
	loss
	before contents // without places: what was found up to it
	next   uint64   // the record behind it; 0 if there is none
}

// readTail reads the segment that was written to last. synced is the newest number that is known to be synced; flags in the frames may show that it is more. What
// is behind that number and not whole was interrupted.
func readTail(r io.ReaderAt, first uint64, size int64, synced uint64) (tail, error) {
	t := tail{contents: contents{first: first, last: first - 1, size: size}}
	s := &frame.Scanner{R: r, Size: size, Prev: first - 1, Limit: max(synced, first) + 1<<32, Chunk: 1 << 20}
	var breaches []breach
	group := first // the first record of the newest append
	prev := first - 1
	var open *breach
	for {
		it, err := s.Next()
		if err != nil {
			return t, err
		}
		if it.Kind == frame.KindControl {
			continue
		}
		if it.Kind == frame.KindBad || it.Kind == frame.KindRecord && open == nil && it.Number > prev+1 {
			if open == nil {
				open = &breach{loss: loss{segment: first, off: it.Off, before: t.newest}, before: t.contents}
			}
			if it.Kind == frame.KindBad {
				open.size = it.Off + it.Size - open.off
				continue
			}
		}
		if open != nil {
			open.span = journal.Span{First: prev + 1, Last: prev}
			if it.Kind == frame.KindRecord {
				open.next, open.after = it.Number, recordTime(&it)
			}
			breaches = append(breaches, *open)
			open = nil
		}
		if it.Kind == frame.KindEnd {
			t.end = it.Off
			break
		}
		if it.Flags&frame.FlagSynced != 0 {
			group = it.Number
		}
		prev = it.Number
		t.note(it.Number, it.Off, recordTime(&it))
	}
	t.group, t.synced = group, max(synced, group-1)
	t.judge(breaches, t.synced)
	return t, nil
}

// judge tells what was damaged from what was interrupted. All numbers up to synced were there.
func (t *tail) judge(breaches []breach, synced uint64) {
	for i := range breaches {
		b := &breaches[i]
		if b.span.First > synced || b.next > synced+1 {
			t.cut(b)
			if b.span.First <= synced {
				b.span.Last = synced
				t.losses = append(t.losses, b.loss)
			}
			return
		}
		if b.next == 0 {
			b.span.Last = synced
			t.end = b.off + b.size
		} else {
			b.span.Last = b.next - 1
		}
		t.losses = append(t.losses, b.loss)
	}
	if n := len(breaches); t.last < synced && (n == 0 || breaches[n-1].next != 0) {
		t.losses = append(t.losses, loss{segment: t.first, off: t.end, span: journal.Span{First: t.last + 1, Last: synced}, before: t.newest})
	}
}

// cut drops all that is behind a breach.
func (t *tail) cut(b *breach) {
	places := t.places
	for len(places) > 0 && places[len(places)-1].off >= b.off {
		places = places[:len(places)-1]
	}
	t.contents = b.before
	t.places = places
	t.end, t.torn = b.off, b.size > 0 || b.next > 0
}

// readIDs reads the ids of the records from a number on.
func readIDs(r io.ReaderAt, t *tail, from uint64) (map[string]uint64, error) {
	if from > t.last {
		return nil, nil
	}
	start := findPlace(t.places, from)
	s := &frame.Scanner{R: r, Size: t.end, Off: start.off, Prev: max(start.number, t.first) - 1, Limit: t.last, Chunk: 1 << 20}
	ids := make(map[string]uint64)
	err := walk(s, t.first, t.last, func(it *frame.Item) (bool, error) {
		if it.Number < from {
			return true, nil
		}
		e, err := journal.ParseEntry(it.Body)
		if err == nil && e.ID != "" {
			ids[e.ID] = it.Number
		}
		return true, nil
	}, func(loss) {})
	return ids, err
}
