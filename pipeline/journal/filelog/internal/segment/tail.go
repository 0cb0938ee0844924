package segment

import (
	"io"

	"github.com/treatrelay/relay/pipeline/journal"
	"github.com/treatrelay/relay/pipeline/journal/filelog/internal/frame"
)

// Tail describes the last segment of a log, the one that was being written.
type Tail struct {
	Contents
	End    int64  // where the next frame goes
	Torn   bool   // an interrupted append follows, which no sync has confirmed
	Losses []Loss // damage to synced records
	Synced uint64 // everything up to this number was synced
	Group  uint64 // the first record of the last append
}

// anomaly is a place of a segment where the next record is missing.
type anomaly struct {
	Loss
	before Contents // the records before it, without index entries
	next   uint64   // the number of the record after it; 0: none
}

// ReadTail reads the last segment. synced is the newest number that is known to be synced; flags in the frames can show that
// more is. An incomplete record after that number was interrupted; before it, it was damaged.
func ReadTail(r io.ReaderAt, first uint64, size int64, synced uint64) (Tail, error) {
	t := Tail{Contents: Contents{First: first, Last: first - 1, Size: size}}
	s := &frame.Scanner{R: r, Size: size, Prev: first - 1, Limit: max(synced, first) + 1<<32, Chunk: 1 << 20}
	var anomalies []anomaly
	group := first // the first record of the newest append
	prev := first - 1
	var open *anomaly
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
				open = &anomaly{Loss: Loss{Segment: first, Offset: it.Off, Before: t.Newest}, before: t.Contents}
			}
			if it.Kind == frame.KindBad {
				open.Size = it.Off + it.Size - open.Offset
				continue
			}
		}
		if open != nil {
			open.Numbers = journal.Range{First: prev + 1, Last: prev}
			if it.Kind == frame.KindRecord {
				open.next, open.After = it.Number, RecordTime(&it)
			}
			anomalies = append(anomalies, *open)
			open = nil
		}
		if it.Kind == frame.KindEnd {
			t.End = it.Off
			break
		}
		if it.Flags&frame.FlagSynced != 0 {
			group = it.Number
		}
		prev = it.Number
		t.Add(it.Number, it.Off, RecordTime(&it))
	}
	t.Group, t.Synced = group, max(synced, group-1)
	t.classify(anomalies, t.Synced)
	return t, nil
}

// classify tells damage from interrupted appends. All numbers up to synced were durable.
func (t *Tail) classify(anomalies []anomaly, synced uint64) {
	for i := range anomalies {
		b := &anomalies[i]
		if b.Numbers.First > synced || b.next > synced+1 {
			t.truncate(b)
			if b.Numbers.First <= synced {
				b.Numbers.Last = synced
				t.Losses = append(t.Losses, b.Loss)
			}
			return
		}
		if b.next == 0 {
			b.Numbers.Last = synced
			t.End = b.Offset + b.Size
		} else {
			b.Numbers.Last = b.next - 1
		}
		t.Losses = append(t.Losses, b.Loss)
	}
	if n := len(anomalies); t.Last < synced && (n == 0 || anomalies[n-1].next != 0) {
		t.Losses = append(t.Losses, Loss{Segment: t.First, Offset: t.End, Numbers: journal.Range{First: t.Last + 1, Last: synced}, Before: t.Newest})
	}
}

// truncate drops everything after an anomaly.
func (t *Tail) truncate(b *anomaly) {
	entries := t.Entries
	for len(entries) > 0 && entries[len(entries)-1].Offset >= b.Offset {
		entries = entries[:len(entries)-1]
	}
	t.Contents = b.before
	t.Entries = entries
	t.End, t.Torn = b.Offset, b.Size > 0 || b.next > 0
}

// ReadIDs returns the numbers of the records from a number on, by id.
func ReadIDs(r io.ReaderAt, t *Tail, from uint64) (map[string]uint64, error) {
	if from > t.Last {
		return nil, nil
	}
	start := FindEntry(t.Entries, from)
	s := &frame.Scanner{R: r, Size: t.End, Off: start.Offset, Prev: max(start.Number, t.First) - 1, Limit: t.Last, Chunk: 1 << 20}
	ids := make(map[string]uint64)
	err := Walk(s, t.First, t.Last, func(it *frame.Item) (bool, error) {
		if it.Number < from {
			return true, nil
		}
		e, err := journal.ParseEntry(it.Body)
		if err == nil && e.ID != "" {
			ids[e.ID] = it.Number
		}
		return true, nil
	}, func(Loss) {})
	return ids, err
}
